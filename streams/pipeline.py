"""The loop of a step: consume, process, publish; each turn begins and ends without an open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import structlog
from confluent_kafka import KafkaException

from schemas.topics import dlq_state_topic, dlq_topic
from streams.assignment import Assignment, RecordsByPartition
from streams.barrier import ReadBarrier
from streams.batch_size import AdaptiveBatchSize
from streams.clients import Clients, Clock, Partition, ProducerRecords
from streams.command_handler import DeadLetterCommand, affected_entries
from streams.commands import CommandReader, read_records_at
from streams.dead_letter_queue import EntryKind
from streams.decoding import offset_of
from streams.errors import UnavailableError
from streams.metrics import StepMetrics
from streams.processing import Processing
from streams.restore import Restorer
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step
from streams.transactions import Transactions
from streams.unassigned import UnassignedPartitionMonitor

log = structlog.get_logger()

#: Transactions that may fail one after the other before the worker gives up, and is started again with a pause.
FAILED_IN_A_ROW_MAX = 20
#: Of a transaction's timeout: where batches take longer to be worked on, none is while a transaction is open.
AHEAD_SHARE = 0.25
#: An act that fails again and again is tried again after a pause that grows up to this: all else goes on meanwhile.
COMMAND_PAUSE_MAX_S = 300.0


@dataclass(frozen=True)
class ProcessedBatch:
    """Records, and all that follows from them."""

    groups: RecordsByPartition
    outgoing: list[ProducerRecords]

    @property
    def records(self) -> int:
        """How many."""
        return sum(map(len, self.groups.values()))

    @cached_property
    def next_offsets(self) -> dict[Partition, int]:
        """Where it is gone on after them."""
        return {partition: offset_of(records[-1]) + 1 for partition, records in self.groups.items()}


class Pipeline:
    """One worker of a step, to be called by one thread: `start`, then `turn` as long as wanted, then `close`."""

    def __init__(
        self, step: Step, clients: Clients, coding: Coding, settings: PipelineSettings, clock: Clock
    ) -> None:
        self.step, self._settings, self._clock, self._clients = step, settings, clock, clients
        self._metrics = StepMetrics(step.name)
        self._consumer = clients.consumer()
        self._processing = Processing(step, coding.codec, settings, coding.sealer)
        self._transactions = Transactions(clients, settings, clock)
        self._restorer = Restorer(step, clients, settings, clock)
        self._commands = CommandReader(step.name, clients, coding.codec)
        self.oversight = UnassignedPartitionMonitor(step.inputs, clients, settings, clock)
        #: Whether an act may have found its letter since we last looked.
        self._commands_due = False
        #: Letters and parked records of the partitions that have any.
        self._dlq_counts: dict[Partition, tuple[int, int]] = {}
        barrier = ReadBarrier(clients, self._transactions, self._consumer, settings, clock)
        self._assignment = Assignment(self._consumer, barrier, self._processing, self._restorer, settings)
        self._failed_in_a_row = 0
        self._size = AdaptiveBatchSize()
        #: Acts that failed one after the other, and when there is to be another.
        self._commands_failed_in_a_row, self._next_command_at_s = 0, 0.0
        #: What is to be sent while the records after it are worked on.
        self._ahead: ProcessedBatch | None = None
        #: Whether anything was committed since the start, and how long the last batch was worked on.
        self._has_committed, self._processing_s = False, 0.0
        #: Whether a transaction failed in the turn before: in this one the group hears of us before anything else.
        self._failed_last_run = False

    @property
    def partitions(self) -> list[Partition]:
        """The partitions that are ours now."""
        return sorted(self._assignment.positions)

    @property
    def restoring(self) -> bool:
        """Whether a partition waits for what is kept of it, or until it is known where it goes on."""
        return bool(self._assignment.initializing) or self._restorer.active

    @property
    def unsent_records(self) -> int:
        """How many records are worked on, and not sent yet."""
        return self._ahead.records if self._ahead else 0

    @property
    def commands_pending(self) -> bool:
        """Whether an act may still have a letter here to be done on."""
        return self._commands_due

    @property
    def commands_read(self) -> int:
        """How many acts were read so far."""
        return len(self._commands)

    def start(self) -> None:
        """Fences the slot's worker before this one, then joins the group. In this order: nobody else's work is open."""
        self._transactions.start()
        self._assignment.subscribe(self.step.inputs)

    def run_once(self) -> int:
        """One officer's act and one batch, each whole or not at all; how many records they had.

        Waits `poll_timeout_s` for the first record. A failed transaction is recovered from: the same records come
        again. StreamError: this worker can't go on.
        """
        self.oversight.poll()
        # One failure's time-outs between two reads: so the group hears of this member in time, and this one of what
        # became of its membership.
        polling, self._failed_last_run = self._failed_last_run, False
        if self._assignment.initializing and not polling and not self._assignment.initialize():
            self._failed_last_run = True
            return 0
        self._restore()
        # An officer's act on a letter of ours comes before what is new: what waits behind the letter is older. But all
        # others' go on, and the group hears of this member, however many acts there are.
        self._commands_due |= self._commands.poll()
        due = self._commands_due and not polling and self._clock() >= self._next_command_at_s
        if due and self._ahead:
            return self._process_and_publish({})
        acted = self._handle_commands() if due else None
        if self._failed_last_run:
            return 0
        # 1. Records of partitions that are ours, each once, in the order of their partition.
        groups = self._gather(at_once=acted is not None or self._ahead is not None)
        return (acted or 0) + self._process_and_publish(groups)

    def stop(self) -> None:
        """The turn at hand is the last, and ends within `commit_timeout_s`: a transaction that fails isn't mended."""
        self._transactions.stopping = True

    def close(self) -> None:
        """Leaves; a static member's partitions wait for the slot until the session's timeout."""
        self._restorer.close()
        self._commands.close()
        self.oversight.close()
        self._transactions.close()
        self._consumer.close()

    def _restore(self) -> None:
        if self._restorer.active:
            whole = self._restorer.poll(self._settings.gather_timeout_s)
            self._assignment.restored(whole)
            self._commands_due |= bool(whole)
            self._count(whole)

    def _gather(self, *, at_once: bool) -> RecordsByPartition:
        # A restoration goes on at once, and the next act does: nobody waits for a record meanwhile. Nor does who has no
        # partitions yet.
        hurried = self.restoring or at_once or not self._assignment.positions
        timeout_s = self._settings.gather_timeout_s if hurried else self._settings.poll_timeout_s
        # What took too long at once may be committed in parts.
        records_max = self._size.scale(self._settings.batch_records_max)
        bytes_max = self._size.scale(self._settings.batch_bytes_max)
        beyond = self._ahead.next_offsets if self._ahead else {}
        return self._assignment.poll(records_max, bytes_max, timeout_s, beyond)

    def _process_and_publish(self, groups: RecordsByPartition) -> int:
        """With these records, after those before them; how many were committed."""
        before, self._ahead = self._ahead, None
        if before is None:
            return self._publish_or_defer(self._process(groups)) if groups else 0
        if not self._assignment.owns(before.groups):
            # A part of it is another's by now. Nothing of it was sent.
            self._assignment.seek_to_positions({*before.groups, *groups})
            return 0
        return self._publish(before, groups)

    def _publish_or_defer(self, batch: ProcessedBatch) -> int:
        """Sends it now, or while the next is worked on, where it changes nothing that the next must be told of."""
        alone = (
            self.step.stores
            or self._failed_in_a_row
            or not self._assignment.batch_was_full
            or self._must_commit_alone
        )
        if alone or any(records.topic == dlq_state_topic(self.step.name) for records in batch.outgoing):
            return self._publish(batch, {})
        self._ahead = batch
        return 0

    @property
    def _must_commit_alone(self) -> bool:
        """Whether a transaction may end while the next batch is worked on, which fences the worker.

        Each that is begun again commits one batch alone: so the next can't fence one after the other for ever.
        """
        worked_max_s = AHEAD_SHARE * self._settings.transaction_timeout_ms / 1_000
        return not self._has_committed or self._processing_s > worked_max_s

    def _process(self, groups: RecordsByPartition) -> ProcessedBatch:
        """2. All that follows from them; nothing is sent yet, changes of state are pending."""
        begun = self._clock()
        try:
            outgoing = self._processing.run(groups, self._assignment.tasks)
        except BaseException:
            self._roll_back()
            raise
        self._processing_s = self._clock() - begun
        self._metrics.processed(self._processing_s, outgoing)
        return ProcessedBatch(groups, outgoing)

    def _publish(self, batch: ProcessedBatch, after: RecordsByPartition) -> int:
        """3. All of it and its offsets in one transaction; only then is the state what it was to become.

        The records `after` it are worked on while the client sends it: then nothing is pending but what these change.
        """
        begun = self._clock()
        try:
            self._transactions.send(batch.outgoing)
            following = self._process_while_sending(after) if after else None
            self._transactions.commit(batch.next_offsets, self._consumer)
        except KafkaException as failure:
            following = None
            self._metrics.failed()
            if after:
                self._roll_back()
            self._transactions.recover(failure.args[0])
            if not self._was_committed(batch.next_offsets, after):
                return self._schedule_retry(failure.args[0].name())
        if not after:
            self._commit_state(batch.groups)
        self._committed(batch, self._clock() - begun)
        if isinstance(following, Exception):
            raise following
        return batch.records + (self._publish_or_defer(following) if following else 0)

    def _process_while_sending(self, groups: RecordsByPartition) -> ProcessedBatch | Exception:
        """What it fails with is to be told after what came before is committed."""
        try:
            return self._process(groups)
        except Exception as error:
            return error

    def _was_committed(self, offsets: Mapping[Partition, int], also: Iterable[Partition]) -> bool:
        """After a failed transaction the committed offsets tell: they stand with all of it or with nothing of it.

        `also` are partitions of which more was read: that comes again.
        """
        places = {*offsets, *also}
        deadline = self._clock() + self._settings.request_timeout_s
        while not self._assignment.stable(places):
            # What was aborted is marked as such in every partition a moment after the answer.
            if self._clock() >= deadline:
                raise UnavailableError("committed: held by a transaction that doesn't end")
            self._transactions.wait()
        committed = self._assignment.seek_to_committed(places)
        known = offsets.keys() & committed.keys()
        return bool(known) and all(committed[partition] == offsets[partition] for partition in known)

    def _schedule_retry(self, error: str) -> int:
        self._roll_back()
        self._failed_last_run = True
        self._failed_in_a_row += 1
        self._size.failed()
        if self._failed_in_a_row > FAILED_IN_A_ROW_MAX:
            raise UnavailableError(
                f"{self._failed_in_a_row} transactions failed one after the other, the last by {error}"
            )
        return 0

    def _roll_back(self) -> None:
        for kept in self._assignment.tasks.values():
            kept.rollback()

    def _committed(self, batch: ProcessedBatch, duration_s: float) -> None:
        groups, offsets = batch.groups, batch.next_offsets
        self._failed_in_a_row, self._has_committed = 0, True
        self._size.succeeded()
        digests = self._digests(groups)
        self._assignment.advance(offsets)
        self._metrics.committed(duration_s, ((topic, len(records)) for (topic, _), records in groups.items()))
        for (topic, number), records in groups.items():
            log.info(
                "batch.committed",
                topic=topic,
                partition=number,
                offset_next=offsets[topic, number],
                records=len(records),
                duration_ms=round(1_000 * duration_s),
                **digests.get(number, {}),
            )

    def _digests(self, partitions: Iterable[Partition]) -> dict[int, dict[str, str]]:
        """By number, for the log, where the step keeps state."""
        kept = {each: self._assignment.tasks.get(each) for each in partitions if self.step.stores}
        return {number: {"digest": each.digest} for (_, number), each in kept.items() if each}

    def _commit_state(self, partitions: Iterable[Partition]) -> None:
        """What was pending is so."""
        for partition in partitions:
            kept = self._assignment.tasks.get(partition)
            if kept:
                kept.commit()
                self._commands_due |= bool(self._commands) and bool(kept.dead_letters)
        self._count(partitions)

    def _count(self, partitions: Iterable[Partition]) -> None:
        kept = self._assignment.tasks
        new = {
            each: kept[each].dead_letters.counts()
            for each in partitions
            if each in kept and kept[each].dead_letters
        }
        others = {
            each: counts
            for each, counts in self._dlq_counts.items()
            if each in kept and kept[each].dead_letters
        }
        if new or self._dlq_counts:
            self._dlq_counts = others | new
            self._metrics.dead_letter_queue(self._dlq_counts.values())

    def _handle_commands(self) -> int | None:
        """Does one act that has its letter here; None where there is none."""
        found = next(self._acts_found(), None)
        self._commands_due = found is not None
        return self._handle_command(*found) if found else None

    def _acts_found(self) -> Iterator[tuple[Partition, DeadLetterCommand]]:
        for partition, kept in self._assignment.tasks.items():
            if self._restorer.is_active(partition):
                continue
            for entry in kept.dead_letters.entries:
                for act in (
                    self._commands.for_digest(entry.digest) if entry.kind is EntryKind.DEAD_LETTER else ()
                ):
                    if not kept.dead_letters.is_done(act.id):
                        yield partition, act

    def _handle_command(self, partition: Partition, act: DeadLetterCommand) -> int:
        """One act: the letter and all behind it, in one transaction with what is set aside after it.

        It moves no offset, but sends the one that stands: so a worker that is no longer the partition's is refused.
        """
        kept, begun = self._assignment.tasks[partition], self._clock()
        offsets = [entry.offset for entry in affected_entries(kept.dead_letters, act.digest)]
        records = read_records_at(
            self._clients, partition, offsets, self._clock, self._settings.request_timeout_s
        )
        try:
            outgoing = self._processing.handle_command(act, partition, kept, records)
        except BaseException:
            self._roll_back()
            raise
        # What it says of letters is nothing newly set aside.
        told = [each for each in outgoing if each.topic != dlq_topic(self.step.name)]
        self._metrics.processed(self._clock() - begun, told)
        position = {partition: self._assignment.positions[partition]}
        try:
            self._transactions.publish(outgoing, position, self._consumer)
        except KafkaException as failure:
            self._metrics.failed()
            # Its offset tells nothing of whether it took place: the changelog does.
            if not self._transactions.recover(failure.args[0]):
                self._assignment.reinitialize(position)
            return self._schedule_command_retry()
        self._commands_failed_in_a_row = 0
        self._commit_state([partition])
        log.info(
            "command.committed",
            topic=partition[0],
            partition=partition[1],
            command=act.type,
            records=len(records),
        )
        return len(records)

    def _schedule_command_retry(self) -> int:
        self._roll_back()
        self._failed_last_run = True
        self._commands_failed_in_a_row += 1
        if self._commands_failed_in_a_row > 1:
            self._next_command_at_s = self._clock() + min(
                COMMAND_PAUSE_MAX_S, 2.0 ** (self._commands_failed_in_a_row - 2)
            )
        return 0
