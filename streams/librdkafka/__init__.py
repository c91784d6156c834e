"""Workarounds for librdkafka 2.15 and 2.16, each with the condition under which it can be removed.

| module | librdkafka | what it works around | remove it when |
| --- | --- | --- | --- |
| `deadline` | #5456, #5511 | `send_offsets_to_transaction` may never return, whatever its timeout | both are fixed |
| `transactional_producer` | none known | calls time out instead of raising the cause | calls raise the cause |
| `transactional_producer` | none known | `init_transactions` polls every 0.5 s: 1.1 s to start | it doesn't poll |
| `group_consumer` | none known | a client may stall without an error after a broker died | `consume` raises an error |
| `group_consumer` | #5040 | `committed` waits for unstable offsets; admin request crashes | `committed` returns them |

Two workarounds are single steps of a sequence, so they are part of it: `Transactions.recover`
(`streams.transactions`) never uses a producer again after an abort, and may keep it when librdkafka has an epoch per
transaction (KIP-890 part 2; the loss has no issue number, docs/decisions/never-the-same-producer-after-an-abort.md
shows it); `Assignment` (`streams.assignment`) seeks again before it resumes a partition. `streams.unassigned` closes
a gap of the protocol (KIP-345 with KIP-429), not of the client.
"""
