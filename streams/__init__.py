"""How an event moves: topics, records, consumer, producer, transactions, pipeline, dead letters.

Imports `schemas` only. A processor is handed in (see `streams.contract`), never imported.
"""
