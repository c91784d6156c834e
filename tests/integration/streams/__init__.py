"""Streams against a real broker."""
