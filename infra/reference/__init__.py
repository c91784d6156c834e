"""A plain model of what the stores must hold, written from the rules alone, to compare the mesh with.

Imports nothing of `streams`, `connectors` or `processors`: a check shares no code with what it checks.
"""
