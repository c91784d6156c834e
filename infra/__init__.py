"""The only place that builds things: local stack, command line, settings, access rights, metrics.

The top layer: may import everything below; nothing below imports it.
"""
