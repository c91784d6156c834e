"""Integration tests of `streams` on a real broker."""
