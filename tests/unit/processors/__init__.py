"""Processors, without a server."""
