"""Which partitions are ours, from which offset each goes on, and their state.

Callbacks of the group come only from within `Consumer.consume` and `close`, when no transaction is open: what was
processed is committed by then, and what was only read is dropped with the partition and read by the next owner.

A partition that comes is unsettled, and paused, until we know for certain where it goes on (`streams.barrier`); then it
is restored. A dead worker's open transaction may hold its offset: it waits until the broker has ended that transaction,
and all others go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from streams.barrier import ReadBarrier
from streams.clients import Consumer, Message, Partition
from streams.decoding import by_partition, offset_of
from streams.errors import LostRecordsError, StoppedError
from streams.kafka_errors import read_error, stopped_by
from streams.processing import Processing
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.task import TaskState

log = structlog.get_logger()

RecordsByPartition = dict[Partition, list[Message]]

#: So often it is waited for others' records, when partitions have just begun: their brokers answer one after the other,
#: and whose answer comes too late for the first transaction waits for the whole of it.
_FIRST_POLLS: Final = 6


class Assignment:
    """The partitions of one consumer."""

    def __init__(
        self,
        consumer: Consumer,
        barrier: ReadBarrier,
        processing: Processing,
        restorer: Restorer,
        settings: PipelineSettings,
    ) -> None:
        self._consumer, self._barrier = consumer, barrier
        self._processing, self._restorer, self._settings = processing, restorer, settings
        #: The offset to go on from, for each partition that is ours.
        self.positions: dict[Partition, int] = {}
        #: State, and what is set aside, of each of them; whole where it isn't being restored.
        self.tasks: dict[Partition, TaskState] = {}
        #: Ours, but where each goes on isn't known yet.
        self.initializing: set[Partition] = set()
        #: Of these, those of which it was said that a transaction holds their offset.
        self._unstable: set[Partition] = set()
        #: Whether the last batch ended where it was full, and not for want of records.
        self.batch_was_full = False
        self._last_error: int | None = None
        self._just_started = False

    def subscribe(self, inputs: Sequence[str]) -> None:
        """Joins the group."""
        self._consumer.subscribe(
            list(inputs), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(
        self, records_max: int, bytes_max: int, timeout_s: float, beyond: Mapping[Partition, int]
    ) -> RecordsByPartition:
        """Records of our partitions, by partition; waits for the first, and shortly for the others.

        `beyond` are offsets up to which records were gathered before, and aren't committed yet.
        """
        taken: list[Message] = []
        size, wait_s, waits = 0, timeout_s, _FIRST_POLLS if self._just_started else 0
        while len(taken) < records_max and size < bytes_max:
            # The first is worth a wait; the others come at once or with the next batch.
            wanted = 1 if not taken and wait_s else min(1_000, records_max - len(taken))
            got = self._consumer.consume(wanted, wait_s)
            taken.extend(got)
            size += sum(len(message.value() or b"") for message in got if message.error() is None)
            wait_s = self._settings.gather_timeout_s
            if len(got) < wanted and not (taken and waits):
                break
            waits -= len(got) < wanted
        self._just_started = self._just_started and not taken
        self.batch_was_full = len(taken) >= records_max or size >= bytes_max
        return self._records_to_process(taken, beyond)

    def advance(self, offsets: Mapping[Partition, int]) -> None:
        """These offsets are committed: go on from them."""
        for partition, offset in offsets.items():
            if partition in self.positions:
                self.positions[partition] = offset

    def owns(self, partitions: Iterable[Partition]) -> bool:
        """Whether all of these are ours still."""
        return all(partition in self.positions for partition in partitions)

    def seek_to_positions(self, partitions: Iterable[Partition]) -> None:
        """What was gathered of these, and isn't committed, comes again; of those that are still ours."""
        self._seek({partition: self.positions[partition] for partition in self._owned(partitions)})

    def stable(self, partitions: Iterable[Partition]) -> bool:
        """Whether no transaction that is ending holds the offset of one of these, of those that are still ours."""
        ours = self._owned(partitions)
        return len(self._barrier.stable_offsets(ours)) == len(ours)

    def seek_to_committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Goes back to what is committed; the offsets to go on from, of those that are still ours.

        Where they can't be known for certain now, the partitions are unsettled again, and none is told.
        """
        ours = self._owned(partitions)
        starts = self._barrier.committed_offsets(ours)
        if len(starts) < len(ours):
            self.reinitialize(ours)
            return {}
        self._seek(starts)
        return starts

    def restored(self, partitions: Iterable[Partition]) -> None:
        """What is kept of these is whole: they go on. LostRecordsError where the offset that belongs to it is lost."""
        going_on = self._owned(partitions)
        # A group forgets its offsets when nobody has been its member for long: what is kept is never forgotten. Asked
        # again, as what is kept may be newer than the offset for one that is no member any more, and doesn't know it.
        strange = [each for each in going_on if not self.positions[each] and self.tasks[each].entries]
        for partition, offset in self._barrier.committed_offsets(strange).items():
            if not offset:
                raise LostRecordsError(f"no offset of {_names([partition])[0]}, of which state is kept")
        self.reinitialize(strange)
        self._just_started = self._just_started or bool(going_on)
        for partition in self._owned(going_on):
            self._consumer.resume([TopicPartition(*partition)])
            # Up to a second passes until librdkafka looks again at what was paused, unless there is something to do.
            self._try_seek(partition, self.positions[partition])

    def reinitialize(self, partitions: Iterable[Partition]) -> None:
        """Holds these back until it is known where they go on, and what is kept of them was read anew."""
        ours = self._owned(partitions)
        self._consumer.pause([TopicPartition(*partition) for partition in ours])
        self._forget(ours)
        self.initializing.update(ours)

    def initialize(self) -> bool:
        """Partitions of which it is known for certain by now where they go on begin to be restored.

        False where a mark failed, which may have taken all the time that a turn has.
        """
        failures = self._barrier.failures
        # First a question that costs little: what a transaction holds may have to wait for long.
        stable = self._barrier.stable_offsets(sorted(self.initializing))
        self._log_unstable(self.initializing - stable.keys())
        known = self._barrier.committed_offsets(stable)
        starts = self._next_portion(
            {place: offset for place, offset in known.items() if self._try_seek(place, offset)}
        )
        new = {partition: self._processing.new(partition) for partition in starts}
        # After the offsets: whatever was committed with them is on the changelogs before this mark.
        mark = self._barrier.write(self._restorer.changelogs(new)) if new else None
        if mark is None:
            return self._barrier.failures == failures
        self.initializing.difference_update(starts)
        self.positions.update(starts)
        self.tasks.update(new)
        self._restorer.begin(new, mark)
        log.info("partitions.initialized", partitions=_names(starts))
        return True

    def _next_portion(self, starts: dict[Partition, int]) -> dict[Partition, int]:
        """Marks that took too long at once are written in parts, in turn: one that can't be holds no other up."""
        failed = self._barrier.failed_in_a_row["changelog"]
        places = sorted(starts)
        first = failed % len(places) if places else 0
        chosen = (places[first:] + places[:first])[: max(1, len(places) >> failed)]
        return {place: starts[place] for place in chosen}

    def _log_unstable(self, held: set[Partition]) -> None:
        if held - self._unstable:
            log.warning("partitions.waiting", partitions=_names(sorted(held - self._unstable)))
        self._unstable = held

    def _owned(self, partitions: Iterable[Partition]) -> list[Partition]:
        return [partition for partition in partitions if partition in self.positions]

    def _on_assign(self, _: Any, partitions: list[TopicPartition]) -> None:
        ours = [(each.topic, each.partition) for each in partitions]
        # They are paused before they are sought to where they go on. Where they begin is looked up, and that may be
        # found after the seek, and take its place: then more is read, and dropped. A number, like 0, may not be there.
        self._consumer.incremental_assign(
            [TopicPartition(*partition, OFFSET_BEGINNING) for partition in ours]
        )
        self._consumer.pause([TopicPartition(*partition) for partition in ours])
        self.initializing.update(ours)
        log.info("partitions.assigned", partitions=_names(ours))

    def _try_seek(self, partition: Partition, offset: int) -> bool:
        """Whether the consumer has gone there; False where it isn't ready to yet."""
        try:
            self._seek_to(partition, offset)
        except StoppedError:
            return False
        return True

    def _seek_to(self, partition: Partition, offset: int) -> None:
        try:
            self._consumer.seek(TopicPartition(*partition, offset))
        except KafkaException as failure:
            raise stopped_by(failure.args[0]) from None

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._release("partitions.revoked", partitions)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._release("partitions.lost", partitions)

    def _release(self, event: str, partitions: list[TopicPartition]) -> None:
        self._consumer.incremental_unassign(partitions)
        gone = [(each.topic, each.partition) for each in partitions]
        self._forget(gone)
        self.initializing.difference_update(gone)
        self._unstable.difference_update(gone)
        log.info(event, partitions=_names(gone))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self.positions.pop(partition, None)
            self.tasks.pop(partition, None)
        self._restorer.drop(partitions)

    def _seek(self, starts: Mapping[Partition, int]) -> None:
        for partition, offset in starts.items():
            self._seek_to(partition, offset)
        self.positions.update(starts)

    def _handle_consumer_error(self, error: KafkaError) -> None:
        """Stops with what stops us; what the client goes on from by itself is said once."""
        stopped = read_error(error)
        if stopped:
            raise stopped
        if error.code() != self._last_error:
            log.warning("consumer.error", error=error.name())
        self._last_error = error.code()

    def _records_to_process(
        self, messages: Sequence[Message], beyond: Mapping[Partition, int]
    ) -> RecordsByPartition:
        """The records to process: of partitions that are ours and settled, each offset once.

        One that came back while these were read may have records from before in front: it is unsettled, and none count.
        """
        for message in messages:
            if (error := message.error()) is not None:
                self._handle_consumer_error(error)
        groups = by_partition(message for message in messages if message.error() is None)
        admitted = {
            partition: _from_position(records, max(self.positions[partition], beyond.get(partition, 0)))
            for partition, records in groups.items()
            if partition in self.positions and not self._restorer.is_active(partition)
        }
        return {partition: records for partition, records in admitted.items() if records}


def _from_position(records: Sequence[Message], position: int) -> list[Message]:
    """From there on, each once: where a client was sent back, it hands out again what it has handed out."""
    found: list[Message] = []
    for record in records:
        at = offset_of(record)
        if at >= position:
            found.append(record)
            position = at + 1
    return found


def _names(partitions: Iterable[Partition]) -> list[str]:
    return [f"{topic}/{number}" for topic, number in partitions]
