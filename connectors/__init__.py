"""Where an event enters and leaves: sources and sinks, and the contract for writing one (docs/connectors.md).

Imports `streams` and `schemas`; never `processors` or `infra`, which hands settings and connections in.
"""
