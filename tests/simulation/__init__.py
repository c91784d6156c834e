"""The pipeline, the processors and the sinks on a simulated log, store and clock: one thread, every fault from a seed.

`ticking` is time; `log`, `coordinator` and `groups` are the brokers; `clients` stands in for confluent-kafka;
`postgres` stands in for a database, statement by statement; `faults` says what goes wrong where; `world` runs the
workers; `history` is one run with its checks (`checker`); `shrink` and `campaign` run many.
"""
