"""The pipeline, the processors and the sinks on a simulated log, store and clock: one thread, all faults from a seed.

`virtual_time` is the clock; `log`, `coordinator` and `groups` are the brokers; `clients`, `producer` and `fetching`
replace confluent-kafka; `postgres` and `statements` replace a database, statement by statement; `faults` draws which
faults are injected where, and `fault_effects` executes them; `failing_steps` makes records fail; `world` runs the
processes of `mesh` and `workers`; `cities` and `card_submissions` are what is submitted; `history` is one run with its
checks (`outcome`, `watcher`, `card_checks` with `card_model`); `shrink` and `campaign` run many; `seeded` tests the
checks themselves.
"""
