"""The partitions assigned to a consumer, each with its task: where it continues, and whether it is ready.

The group's callbacks run only inside `Consumer.consume` and `close`, when no transaction is open: processed records are
committed by then; records that were only read are dropped with the partition, and the next owner reads them.

A newly assigned partition is initializing, and paused, until its committed offset is known for certain
(`streams.barrier`); then its state is restored. The open transaction of a dead worker may keep that offset unstable:
the partition waits until the broker has ended the transaction, and all other partitions continue meanwhile.
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
from streams.processing import Processing, RecordsByPartition
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.task import StreamTask

log = structlog.get_logger()

#: Extra polls for the first batch after a restore, to include the partitions of brokers that answer later: otherwise
#: their records wait for a complete transaction.
_FIRST_POLLS: Final = 6


class Assignment:
    """The tasks of one consumer."""

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
        #: One task for each partition whose position is known; its state is complete once it is restored.
        self.tasks: dict[Partition, StreamTask] = {}
        #: Assigned partitions whose position isn't known yet.
        self.initializing: set[Partition] = set()
        #: Those of them whose unstable offset was logged.
        self._unstable: set[Partition] = set()
        self._last_error: int | None = None
        self._just_started = False

    def subscribe(self, inputs: Sequence[str]) -> None:
        """Join the group."""
        self._consumer.subscribe(
            list(inputs), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def running_tasks(self) -> list[StreamTask]:
        """Return the tasks whose state is complete."""
        return [task for task in self.tasks.values() if not self._restorer.is_active(task.partition)]

    def poll(self, records_max: int, bytes_max: int, timeout_s: float) -> RecordsByPartition:
        """Return records of running tasks by partition: wait `timeout_s` for the first, and shortly for the others."""
        messages: list[Message] = []
        size, wait_s, extra_polls = 0, timeout_s, _FIRST_POLLS if self._just_started else 0
        while len(messages) < records_max and size < bytes_max:
            # Only the first record is worth a wait; the others come at once or with the next batch.
            wanted = 1 if not messages and wait_s else min(1_000, records_max - len(messages))
            polled = self._consumer.consume(wanted, wait_s)
            messages.extend(polled)
            size += sum(len(message.value() or b"") for message in polled if message.error() is None)
            wait_s = self._settings.gather_timeout_s
            if len(polled) < wanted and not (messages and extra_polls):
                break
            extra_polls -= len(polled) < wanted
        self._just_started = self._just_started and not messages
        return self._records_to_process(messages)

    def advance(self, next_offsets: Mapping[Partition, int]) -> None:
        """Move the positions of tasks to committed offsets."""
        for partition, offset in next_offsets.items():
            if partition in self.tasks:
                self.tasks[partition].position = offset

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Read the records of these partitions again from the positions of their tasks."""
        for partition in self._owned(partitions):
            self._seek_to(partition, self.tasks[partition].position)

    def stable(self, partitions: Iterable[Partition]) -> bool:
        """Return whether the committed offsets of all these partitions are stable; revoked partitions don't count."""
        owned = self._owned(partitions)
        return len(self._barrier.stable_offsets(owned)) == len(owned)

    def seek_to_committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Move owned partitions back to their committed offsets, and return those.

        If the offsets can't be known for certain now, initialize the partitions again and return none.
        """
        owned = self._owned(partitions)
        offsets = self._barrier.committed_offsets(owned)
        if len(offsets) < len(owned):
            self.reinitialize(owned)
            return {}
        for partition, offset in offsets.items():
            self._seek_to(partition, offset)
            self.tasks[partition].position = offset
        return offsets

    def restored(self, partitions: Iterable[Partition]) -> None:
        """Start the tasks of restored partitions. Raise LostRecordsError if one has state, but no committed offset."""
        ready = self._owned(partitions)
        # Brokers delete a group's offsets when it had no member for long, but never its state. Ask again before
        # stopping: the state may be newer than the offset if this worker has left the group without knowing it.
        without_offset = [
            each for each in ready if not self.tasks[each].position and self.tasks[each].entries
        ]
        for partition, offset in self._barrier.committed_offsets(without_offset).items():
            if not offset:
                raise LostRecordsError(f"{_names([partition])[0]} has state, but no committed offset")
        self.reinitialize(without_offset)
        self._just_started = self._just_started or bool(ready)
        for partition in self._owned(ready):
            self._consumer.resume([TopicPartition(*partition)])
            # Without this seek librdkafka may take up to a second before it fetches a partition that was paused.
            self._try_seek(partition, self.tasks[partition].position)

    def reinitialize(self, partitions: Iterable[Partition]) -> None:
        """Pause owned partitions until their position is known and their state is restored again."""
        owned = self._owned(partitions)
        self._consumer.pause([TopicPartition(*partition) for partition in owned])
        self._drop_tasks(owned)
        self.initializing.update(owned)

    def initialize(self) -> bool:
        """Find the positions of initializing partitions, and start to restore those whose position is certain.

        Return False if writing a barrier token failed: that may have taken all the time that one run has.
        """
        failures = self._barrier.failures
        # First a cheap question: offsets that an open transaction keeps unstable may take long.
        stable = self._barrier.stable_offsets(sorted(self.initializing))
        self._log_unstable(self.initializing - stable.keys())
        committed = self._barrier.committed_offsets(stable)
        positions = self._next_portion(
            {
                partition: offset
                for partition, offset in committed.items()
                if self._try_seek(partition, offset)
            }
        )
        tasks = {
            partition: self._processing.create_task(partition, offset)
            for partition, offset in positions.items()
        }
        # The token is written after the offsets were read: everything committed with them precedes it in the
        # changelogs.
        token = self._barrier.write(self._restorer.changelogs(tasks)) if tasks else None
        if token is None:
            return self._barrier.failures == failures
        self.initializing.difference_update(tasks)
        self.tasks.update(tasks)
        self._restorer.begin(tasks, token)
        log.info("partitions.initialized", partitions=_names(tasks))
        return True

    def _next_portion(self, positions: dict[Partition, int]) -> dict[Partition, int]:
        """Choose the partitions to write to.

        After each failed write choose fewer partitions, starting at another one, so that one failing partition can't
        block all.
        """
        failed = self._barrier.failed_in_a_row["changelog"]
        partitions = sorted(positions)
        first = failed % len(partitions) if partitions else 0
        chosen = (partitions[first:] + partitions[:first])[: max(1, len(partitions) >> failed)]
        return {partition: positions[partition] for partition in chosen}

    def _log_unstable(self, unstable: set[Partition]) -> None:
        if unstable - self._unstable:
            log.warning("partitions.waiting", partitions=_names(sorted(unstable - self._unstable)))
        self._unstable = unstable

    def _owned(self, partitions: Iterable[Partition]) -> list[Partition]:
        return [partition for partition in partitions if partition in self.tasks]

    def _on_assign(self, _: Any, partitions: list[TopicPartition]) -> None:
        assigned = [(each.topic, each.partition) for each in partitions]
        # Assign at the beginning and pause; the seek comes when the position is known. librdkafka may resolve the
        # beginning after that seek and override it: then it reads records before the position, which are dropped. An
        # explicit offset such as 0 may not exist any more.
        self._consumer.incremental_assign(
            [TopicPartition(*partition, OFFSET_BEGINNING) for partition in assigned]
        )
        self._consumer.pause([TopicPartition(*partition) for partition in assigned])
        self.initializing.update(assigned)
        log.info("partitions.assigned", partitions=_names(assigned))

    def _try_seek(self, partition: Partition, offset: int) -> bool:
        """Seek to an offset; return False if the consumer isn't ready to."""
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
        released = [(each.topic, each.partition) for each in partitions]
        self._drop_tasks(released)
        self.initializing.difference_update(released)
        self._unstable.difference_update(released)
        log.info(event, partitions=_names(released))

    def _drop_tasks(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self.tasks.pop(partition, None)
        self._restorer.drop(partitions)

    def _handle_consumer_error(self, error: KafkaError) -> None:
        """Raise what stops this worker; log once what the client recovers from by itself."""
        stopped = read_error(error)
        if stopped:
            raise stopped
        if error.code() != self._last_error:
            log.warning("consumer.error", error=error.name())
        self._last_error = error.code()

    def _records_to_process(self, messages: Sequence[Message]) -> RecordsByPartition:
        """Return the records of running tasks from their positions on, each offset once.

        A partition that was revoked and assigned again while these were read may have records from before the
        revocation in front: it is initializing, so none of its records is returned.
        """
        for message in messages:
            if (error := message.error()) is not None:
                self._handle_consumer_error(error)
        polled = by_partition(message for message in messages if message.error() is None)
        records = {
            partition: _from_position(of_partition, self.tasks[partition].position)
            for partition, of_partition in polled.items()
            if partition in self.tasks and not self._restorer.is_active(partition)
        }
        return {partition: of_partition for partition, of_partition in records.items() if of_partition}


def _from_position(records: Sequence[Message], position: int) -> list[Message]:
    """Return the records from `position` on, each offset once: after a seek a client may return records again."""
    new: list[Message] = []
    for record in records:
        offset = offset_of(record)
        if offset >= position:
            new.append(record)
            position = offset + 1
    return new


def _names(partitions: Iterable[Partition]) -> list[str]:
    return [f"{topic}/{number}" for topic, number in partitions]
