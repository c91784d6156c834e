"""Unit tests of `streams`, without servers."""
