"""Sources, sinks and their contracts: where submissions enter the mesh and rows leave it (docs/connectors.md).

Imports `streams` and `schemas`, never `processors` or `infra`: `infra` passes settings and connections in.
"""
