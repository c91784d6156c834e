"""Prometheus metrics of a step's worker. Their only labels are step and topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import Counter, Gauge, Histogram

from schemas.topics import dlq_topic
from streams.clients import ProducerRecords

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

RECORDS_IN = Counter("mesh_records_in", "Records processed and committed.", ["step", "topic"])
RECORDS_OUT = Counter("mesh_records_out", "Records produced in transactions.", ["step", "topic"])
BATCHES = Counter("mesh_batches", "Transactions committed.", ["step"])
FAILED = Counter("mesh_transactions_failed", "Transactions that failed and were recovered from.", ["step"])
DEAD_LETTERS = Counter("mesh_dead_letters", "Records that became dead letters.", ["step"])
DEAD_LETTERS_OPEN = Gauge(
    "mesh_dead_letters_open", "Dead letters that wait for an operator command.", ["step"]
)
BLOCKED_RECORDS = Gauge("mesh_blocked_records", "Records blocked behind dead letters.", ["step"])
PROCESS_SECONDS = Histogram("mesh_process_seconds", "Time to process a batch.", ["step"], buckets=_SECONDS)
COMMIT_SECONDS = Histogram(
    "mesh_commit_seconds", "Time of a transaction, from begin to end.", ["step"], buckets=_SECONDS
)
RESTORE_SECONDS = Histogram("mesh_restore_seconds", "Time to restore a partition's state.", ["step"])


class StepMetrics:
    """The metrics of one step."""

    def __init__(self, step: str) -> None:
        self._step = step

    def processed(self, duration_s: float, outgoing: Sequence[ProducerRecords]) -> None:
        """Count a processed batch and the records that its transaction will publish."""
        PROCESS_SECONDS.labels(self._step).observe(duration_s)
        for records in outgoing:
            RECORDS_OUT.labels(self._step, records.topic).inc(len(records))
            if records.topic == dlq_topic(self._step):
                DEAD_LETTERS.labels(self._step).inc(len(records))

    def committed(self, duration_s: float, records: Iterable[tuple[str, int]]) -> None:
        """Count a committed transaction; `records` are the numbers of input records by topic."""
        BATCHES.labels(self._step).inc()
        COMMIT_SECONDS.labels(self._step).observe(duration_s)
        for topic, number in records:
            RECORDS_IN.labels(self._step, topic).inc(number)

    def dead_letter_queue(self, counts: Iterable[tuple[int, int]]) -> None:
        """Set the gauges from the numbers of dead letters and of blocked records of each assigned partition."""
        dead_letters, blocked = [sum(column) for column in zip((0, 0), *counts, strict=True)]
        DEAD_LETTERS_OPEN.labels(self._step).set(dead_letters)
        BLOCKED_RECORDS.labels(self._step).set(blocked)

    def failed(self) -> None:
        """Count a failed transaction."""
        FAILED.labels(self._step).inc()

    def restored(self, duration_s: float) -> None:
        """Count a restored partition."""
        RESTORE_SECONDS.labels(self._step).observe(duration_s)
