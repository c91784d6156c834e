"""The operators' side, without a server."""
