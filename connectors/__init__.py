"""Where an event enters and leaves: sources and sinks, and the contract for writing one.

Imports `streams` and `schemas`; never `processors`.
"""
