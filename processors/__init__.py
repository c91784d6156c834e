"""What an event means: intake, household, fan-out, conversion, and the tracker's rules.

Batch and state in, batch and state out. Imports `streams` and `schemas`; never `connectors`. No Kafka client,
no database driver, no clock, no randomness: time and identifiers arrive as data, so a replay gives the same
values.
"""
