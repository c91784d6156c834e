"""The loop of a step: consume, process, publish. Each run begins and ends without an open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import structlog
from confluent_kafka import KafkaException

from streams.assignment import Assignment
from streams.barrier import ReadBarrier
from streams.batch_size import AdaptiveBatchSize
from streams.clients import Clients, Clock, Partition, ProducerRecords
from streams.command_runner import CommandOutcome, CommandRunner
from streams.commands import CommandReader
from streams.decoding import offset_of
from streams.errors import LargeOutputsError, UnavailableError
from streams.global_table import GlobalTables
from streams.metrics import StepMetrics
from streams.processing import Processing, RecordsByPartition
from streams.restore import Restorer
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step
from streams.task import StreamTask
from streams.transactions import Transactions
from streams.unassigned import UnassignedPartitionMonitor

log = structlog.get_logger()

#: Transactions that may fail in a row before the worker stops; its supervisor restarts it after a pause.
FAILED_IN_A_ROW_MAX: Final = 20


@dataclass(frozen=True)
class ProcessedBatch:
    """Records, and everything that their transaction publishes."""

    records: RecordsByPartition
    outgoing: list[ProducerRecords]

    @property
    def size(self) -> int:
        """Number of records."""
        return sum(map(len, self.records.values()))

    @cached_property
    def next_offsets(self) -> dict[Partition, int]:
        """The next offset to consume per partition after this batch."""
        return {partition: offset_of(records[-1]) + 1 for partition, records in self.records.items()}


class Pipeline:
    """One worker of a step, for one thread: call `start`, then `run_once` repeatedly, then `close`."""

    def __init__(
        self, step: Step, clients: Clients, coding: Coding, settings: PipelineSettings, clock: Clock
    ) -> None:
        self.step, self._settings, self._clock = step, settings, clock
        self._metrics = StepMetrics(step.name)
        self._consumer = clients.consumer()
        self._tables = GlobalTables(step.tables, clients, coding.codec, settings, clock)
        self._processing = Processing(step, coding, settings, self._tables, clients)
        self._transactions = Transactions(clients, settings, clock)
        self._restorer = Restorer(step, clients, settings, clock)
        self.unassigned_partitions = UnassignedPartitionMonitor(step.inputs, clients, settings, clock)
        barrier = ReadBarrier(clients, self._transactions, self._consumer, settings, clock)
        self._assignment = Assignment(self._consumer, barrier, self._processing, self._restorer, settings)
        self._commands = CommandRunner(
            step.name,
            CommandReader(step.name, clients, coding.codec),
            self._assignment,
            self._processing,
            self._transactions,
            self._consumer,
            clients,
            self._metrics,
            settings,
            clock,
        )
        self._batch_size = AdaptiveBatchSize()
        self._failed_in_a_row = 0
        #: Whether a transaction failed in the last run.
        self._failed_last_run = False
        #: Numbers of dead letters and of blocked records, for partitions that have any.
        self._dlq_counts: dict[Partition, tuple[int, int]] = {}

    @property
    def partitions(self) -> list[Partition]:
        """The partitions of this worker's tasks, sorted."""
        return sorted(self.tasks)

    @property
    def tasks(self) -> Mapping[Partition, StreamTask]:
        """The tasks of this worker, by partition."""
        return self._assignment.tasks

    @property
    def initializing(self) -> frozenset[Partition]:
        """Assigned partitions whose position isn't known yet."""
        return frozenset(self._assignment.initializing)

    @property
    def restoring(self) -> bool:
        """Whether any assigned partition waits for its position or for its state."""
        return bool(self._assignment.initializing) or self._restorer.active

    @property
    def commands_pending(self) -> bool:
        """Whether an operator command may still be applicable to a dead letter here."""
        return self._commands.pending

    @property
    def commands_read(self) -> int:
        """Number of operator commands read so far."""
        return len(self._commands.reader)

    def start(self) -> None:
        """Fence the slot's previous worker, which ends its open transaction; then join the group.

        Global tables are read before, because a member of the group must poll in time.
        """
        self._transactions.start()
        self._tables.current()
        self._assignment.subscribe(self.step.inputs)

    def run_once(self) -> int:
        """Run at most one operator command and one batch of records; return the number of records committed.

        Wait up to `poll_timeout_s` for the first record. After a failed transaction, recover; the next run reads the
        same records again. Raise StreamError if this worker can't continue.
        """
        # After a failed transaction, poll before anything else that may time out: polling keeps the membership alive
        # and reports whether it was lost.
        poll_first, self._failed_last_run = self._failed_last_run, False
        # 1. Trigger a rebalance if the group has left a partition unassigned.
        self.unassigned_partitions.poll()
        # 2. Find the positions of newly assigned partitions.
        if self._assignment.initializing and not poll_first and not self._assignment.initialize():
            self._failed_last_run = True
            return 0
        # 3. Restore a portion of their state.
        self._restore()
        # 4. Apply one operator command, before newer records: those blocked behind its dead letter are older.
        self._commands.pending |= self._commands.reader.poll()
        command = CommandOutcome() if poll_first else self._commands.run_one()
        self._update_dlq_counts(self.tasks if command.applied else ())
        if command.failed:
            self._failed_last_run = True
            return 0
        # 5. Poll records of running tasks, each once, in the order of their partition.
        records = self._poll(wait=not command.applied)
        if not records:
            return command.records
        # 6. Process them, after their global tables have been read to the ends: nothing is sent yet, state changes are
        #    pending.
        batch = self._process(records)
        if batch is None:
            return command.records
        # 7. Publish outputs, state changes, dead letters and offsets in one transaction; then commit the state.
        return command.records + self._publish(batch)

    def stop(self) -> None:
        """Make the current run the last one; it ends within `commit_timeout_s`, without recovering from a failure."""
        self._transactions.stopping = True

    def close(self) -> None:
        """Close all clients. A static member stays in the group until its session times out."""
        self._restorer.close()
        self._tables.close()
        self._commands.reader.close()
        self.unassigned_partitions.close()
        self._transactions.close()
        self._consumer.close()

    def _restore(self) -> None:
        if self._restorer.active:
            restored = self._restorer.poll(self._settings.gather_timeout_s)
            self._assignment.restored(restored)
            self._commands.pending |= bool(restored)
            self._update_dlq_counts(restored)

    def _poll(self, *, wait: bool) -> RecordsByPartition:
        # No long wait for records while a restore or another command can continue, or before there is any partition.
        patient = wait and not self.restoring and self.tasks
        timeout_s = self._settings.poll_timeout_s if patient else self._settings.gather_timeout_s
        # A batch that took too long for its transaction may succeed in smaller ones.
        records_max = self._batch_size.scale(self._settings.batch_records_max)
        bytes_max = self._batch_size.scale(self._settings.batch_bytes_max)
        return self._assignment.poll(records_max, bytes_max, timeout_s)

    def _process(self, records: RecordsByPartition) -> ProcessedBatch | None:
        """Return the processed batch; None if its outputs are too large: the next run reads fewer records."""
        started_s = self._clock()
        try:
            outgoing = self._processing.run(records, self.tasks)
        except LargeOutputsError:
            self._roll_back()
            self._assignment.rewind(records)
            self._batch_size.failed()
            log.warning("batch.too-large", step=self.step.name, records=sum(map(len, records.values())))
            return None
        except BaseException:
            self._roll_back()
            raise
        self._metrics.processed(self._clock() - started_s, outgoing)
        return ProcessedBatch(records, outgoing)

    def _publish(self, batch: ProcessedBatch) -> int:
        started_s = self._clock()
        try:
            self._transactions.publish(batch.outgoing, batch.next_offsets, self._consumer)
        except KafkaException as failure:
            self._metrics.failed()
            self._transactions.recover(failure.args[0])
            if not self._was_committed(batch.next_offsets):
                return self._schedule_retry(failure.args[0].name())
        self._commit_state(batch)
        self._report(batch, self._clock() - started_s)
        return batch.size

    def _was_committed(self, next_offsets: Mapping[Partition, int]) -> bool:
        """Return whether a failed transaction was committed after all, and seek to the committed offsets.

        Its offsets were committed with all of it, or with nothing of it.
        """
        deadline = self._clock() + self._settings.request_timeout_s
        while not self._assignment.stable(next_offsets):
            # Brokers write the markers of an aborted transaction shortly after they have answered.
            if self._clock() >= deadline:
                raise UnavailableError("committed offsets stay unstable: a transaction doesn't end")
            self._transactions.wait()
        committed = self._assignment.seek_to_committed(next_offsets)
        known = next_offsets.keys() & committed.keys()
        return bool(known) and all(committed[partition] == next_offsets[partition] for partition in known)

    def _schedule_retry(self, error: str) -> int:
        self._roll_back()
        self._failed_last_run = True
        self._failed_in_a_row += 1
        self._batch_size.failed()
        if self._failed_in_a_row > FAILED_IN_A_ROW_MAX:
            raise UnavailableError(
                f"{self._failed_in_a_row} transactions failed in a row, the last with {error}"
            )
        return 0

    def _roll_back(self) -> None:
        for task in self.tasks.values():
            task.rollback()

    def _commit_state(self, batch: ProcessedBatch) -> None:
        for partition in batch.records:
            # A partition that was revoked during recovery has no task any more.
            if task := self.tasks.get(partition):
                has_changes = task.dead_letters.has_changes
                task.commit()
                if has_changes:
                    self._commands.task_changed(task)
        self._assignment.advance(batch.next_offsets)
        self._update_dlq_counts(batch.records)
        self._failed_in_a_row = 0
        self._batch_size.succeeded()

    def _report(self, batch: ProcessedBatch, duration_s: float) -> None:
        self._metrics.committed(
            duration_s, ((topic, len(records)) for (topic, _), records in batch.records.items())
        )
        for (topic, number), records in batch.records.items():
            task = self.tasks.get((topic, number)) if self.step.stores else None
            log.info(
                "batch.committed",
                topic=topic,
                partition=number,
                offset_next=batch.next_offsets[topic, number],
                records=len(records),
                duration_ms=round(1_000 * duration_s),
                **({"digest": task.digest} if task else {}),
            )

    def _update_dlq_counts(self, changed: Iterable[Partition]) -> None:
        """Update the gauges after the queues of some partitions may have changed."""
        partitions, counts = set(changed), {}
        for partition in partitions.union(self._dlq_counts):
            task = self.tasks.get(partition)
            if task and task.dead_letters:
                recount = partition in partitions
                counts[partition] = task.dead_letters.counts() if recount else self._dlq_counts[partition]
        if counts or self._dlq_counts:
            self._dlq_counts = counts
            self._metrics.dead_letter_queue(counts.values())
