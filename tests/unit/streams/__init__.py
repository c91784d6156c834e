"""Streams, without a server."""
