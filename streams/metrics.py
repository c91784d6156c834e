"""What a worker counts; labels are steps and topics, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import Counter, Gauge, Histogram

from schemas.topics import dlq_topic
from streams.clients import ProducerRecords

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

RECORDS_IN = Counter("mesh_records_in", "Records processed and committed.", ["step", "topic"])
RECORDS_OUT = Counter("mesh_records_out", "Records put into transactions.", ["step", "topic"])
BATCHES = Counter("mesh_batches", "Transactions committed.", ["step"])
FAILED = Counter("mesh_transactions_failed", "Transactions that failed, and were recovered from.", ["step"])
DEAD_LETTERS = Counter("mesh_dead_letters", "Records set aside.", ["step"])
DEAD_LETTERS_OPEN = Gauge("mesh_dead_letters_open", "Dead letters that wait for an officer.", ["step"])
BLOCKED_RECORDS = Gauge("mesh_blocked_records", "Records parked behind dead letters.", ["step"])
PROCESS_SECONDS = Histogram("mesh_process_seconds", "Work on a batch.", ["step"], buckets=_SECONDS)
COMMIT_SECONDS = Histogram(
    "mesh_commit_seconds",
    "A transaction, from begin to end; the next batch may be worked on meanwhile.",
    ["step"],
    buckets=_SECONDS,
)
RESTORE_SECONDS = Histogram("mesh_restore_seconds", "Until a partition's state was whole.", ["step"])


class StepMetrics:
    """One step's."""

    def __init__(self, step: str) -> None:
        self._step = step

    def processed(self, duration_s: float, outgoing: Sequence[ProducerRecords]) -> None:
        """A batch went through the processor."""
        PROCESS_SECONDS.labels(self._step).observe(duration_s)
        for records in outgoing:
            RECORDS_OUT.labels(self._step, records.topic).inc(len(records))
            if records.topic == dlq_topic(self._step):
                DEAD_LETTERS.labels(self._step).inc(len(records))

    def committed(self, duration_s: float, records: Iterable[tuple[str, int]]) -> None:
        """A transaction with so many records of these topics took place."""
        BATCHES.labels(self._step).inc()
        COMMIT_SECONDS.labels(self._step).observe(duration_s)
        for topic, number in records:
            RECORDS_IN.labels(self._step, topic).inc(number)

    def dead_letter_queue(self, counts: Iterable[tuple[int, int]]) -> None:
        """Letters and parked records of each partition that is ours."""
        letters, parked = [sum(each) for each in zip((0, 0), *counts, strict=True)]
        DEAD_LETTERS_OPEN.labels(self._step).set(letters)
        BLOCKED_RECORDS.labels(self._step).set(parked)

    def failed(self) -> None:
        """A transaction failed."""
        FAILED.labels(self._step).inc()

    def restored(self, duration_s: float) -> None:
        """A partition's state is whole."""
        RESTORE_SECONDS.labels(self._step).observe(duration_s)
