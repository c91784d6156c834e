"""Exactly-once stream processing on Kafka: pipeline, transactions, state, dead letters, operator commands, workers.

Imports only `schemas`. A processor (`streams.contract`) is a parameter of a step, never an import.
"""
