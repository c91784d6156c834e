"""The meaning of events: intake, household, fan-out, conversion, and the tracker's rules.

A processor is a pure function from batches and state to output batches and state. It imports `streams` and `schemas`,
never `connectors`, and uses no Kafka client, database driver, clock or random number: times and identifiers are part of
the input, so a replay gives the same values.
"""
