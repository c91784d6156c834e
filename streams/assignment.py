"""Which partitions are ours, from which offset each goes on, and their state.

Callbacks of the group come only from within `Consumer.consume` and `close`, when no transaction is open: what was
processed is committed by then, and what was only read is dropped with the partition and read by the next owner.

A dead worker's open transaction may hold the offset to go on from: such a partition waits, paused, until the broker has
ended that transaction, and all others go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from streams.clients import Consumer, Message, Partition
from streams.decoding import by_partition, offset_of
from streams.errors import LostRecordsError, StoppedError, UnavailableError
from streams.kept import Kept
from streams.processing import Processing
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.verdict import read_error, stopped_by

log = structlog.get_logger()

Groups = dict[Partition, list[Message]]

#: So often it is waited for others' records, when partitions have just begun: their brokers answer one after the other,
#: and whose answer comes too late for the first transaction waits for the whole of it.
_FIRST_WAITS: Final = 6


class Assignment:
    """The partitions of one consumer."""

    def __init__(
        self,
        consumer: Consumer,
        processing: Processing,
        restorer: Restorer,
        settings: PipelineSettings,
    ) -> None:
        self._consumer, self._processing, self._restorer = consumer, processing, restorer
        self._settings = settings
        #: The offset to go on from, for each partition that is ours.
        self.positions: dict[Partition, int] = {}
        #: State, and what is set aside, of each of them; whole where it isn't being restored.
        self.kept: dict[Partition, Kept] = {}
        #: Ours, but where each goes on isn't known before an open transaction has ended.
        self.unsettled: set[Partition] = set()
        self._fresh: set[Partition] = set()
        self._heard: int | None = None
        self._begun = False

    def subscribe(self, inputs: Sequence[str]) -> None:
        """Joins the group."""
        self._consumer.subscribe(
            list(inputs), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def gather(self, records_max: int, bytes_max: int, timeout_s: float) -> Groups:
        """Records of our partitions, by partition; waits for the first, and shortly for the others."""
        self._fresh.clear()
        self._settle()
        taken: list[Message] = []
        size, wait_s, waits = 0, timeout_s, _FIRST_WAITS if self._begun else 0
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
        self._begun = self._begun and not taken
        return self._admit(taken)

    def advance(self, offsets: Mapping[Partition, int]) -> None:
        """These offsets are committed: go on from them."""
        for partition, offset in offsets.items():
            if partition in self.positions:
                self.positions[partition] = offset

    def rewind(self, partitions: Iterable[Partition]) -> dict[Partition, int] | None:
        """Goes back to what is committed; the offsets to go on from, of those that are still ours.

        None while a transaction that is ending holds one of them: to be asked again.
        """
        ours = [partition for partition in partitions if partition in self.positions]
        starts = self._stable(ours)
        if len(starts) < len(ours):
            return None
        self._seek(starts)
        return starts

    def restored(self, partitions: Iterable[Partition]) -> None:
        """What is kept of these is whole: they go on. LostRecordsError where the offset that belongs to it is lost."""
        going_on = [partition for partition in partitions if partition in self.positions]
        # A group forgets its offsets when nobody has been its member for long: what is kept is never forgotten. Asked
        # again, as what is kept may be newer than the offset for one that is no member any more, and doesn't know it.
        strange = [each for each in going_on if not self.positions[each] and self.kept[each].entries]
        for partition, offset in self._stable(strange).items():
            if not offset:
                raise LostRecordsError(f"no offset of {_names([partition])[0]}, of which state is kept")
        self._begun = self._begun or bool(going_on)
        self._consumer.resume([TopicPartition(*partition) for partition in going_on])

    def restore(self, partitions: Iterable[Partition]) -> None:
        """Holds these back until what is kept of them was read anew."""
        new = {partition: self._processing.new(partition) for partition in partitions}
        self._consumer.pause([TopicPartition(*partition) for partition in new])
        self.kept.update(new)
        self._restorer.begin(new)

    def _on_assign(self, _: Any, partitions: list[TopicPartition]) -> None:
        ours = [(each.topic, each.partition) for each in partitions]
        starts = self._stable(ours)
        waiting = [partition for partition in ours if partition not in starts]
        # Those that wait start at a number, and are paused: an end that had to be looked up could be found after the
        # seek to where they go on, and would take its place.
        self._consumer.incremental_assign(
            _with_offsets(starts) + [TopicPartition(*partition, 0) for partition in waiting]
        )
        self.unsettled.update(waiting)
        self._consumer.pause([TopicPartition(*partition) for partition in ours])
        log.info("partitions.assigned", partitions=_names(ours))
        if waiting:
            log.warning("partitions.unsettled", partitions=_names(waiting))
        self._begin(starts)

    def _begin(self, starts: Mapping[Partition, int]) -> None:
        """These go on from here, once their state is whole."""
        self.positions.update(starts)
        self._fresh.update(starts)
        if starts:
            self.restore(starts)

    def _settle(self) -> None:
        """What was held by another's transaction goes on where that has ended."""
        if not self.unsettled:
            return
        starts = {
            partition: offset
            for partition, offset in self._stable(sorted(self.unsettled)).items()
            if self._moved(partition, offset)
        }
        self.unsettled.difference_update(starts)
        self._begin(starts)
        if starts:
            log.info("partitions.settled", partitions=_names(starts))

    def _moved(self, partition: Partition, offset: int) -> bool:
        """Whether the consumer has gone there; False where it isn't ready to yet."""
        try:
            self._seek({partition: offset})
        except StoppedError:
            return False
        return True

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up("partitions.revoked", partitions)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up("partitions.lost", partitions)

    def _give_up(self, event: str, partitions: list[TopicPartition]) -> None:
        self._consumer.incremental_unassign(partitions)
        gone = [(each.topic, each.partition) for each in partitions]
        for partition in gone:
            self.positions.pop(partition, None)
            self.unsettled.discard(partition)
            self.kept.pop(partition, None)
        self._restorer.drop(gone)
        log.info(event, partitions=_names(gone))

    def _stable(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Committed offsets, of those that no open transaction holds."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        try:
            found = self._consumer.committed(asked, self._settings.request_timeout_s)
        except KafkaException as failure:
            raise UnavailableError(f"committed: {failure.args[0].name()}") from None
        told = [each for each in found if not _is_unstable(each)]
        for each in told:
            if each.error:
                raise stopped_by(each.error)
        return {(each.topic, each.partition): max(0, each.offset) for each in told}

    def _seek(self, starts: Mapping[Partition, int]) -> None:
        for each in _with_offsets(starts):
            try:
                self._consumer.seek(each)
            except KafkaException as failure:
                raise stopped_by(failure.args[0]) from None
        self.positions.update(starts)

    def _hear(self, error: KafkaError) -> None:
        """Stops with what stops us; what the client goes on from by itself is said once."""
        stopped = read_error(error)
        if stopped:
            raise stopped
        if error.code() != self._heard:
            log.warning("consumer.error", error=error.name())
        self._heard = error.code()

    def _admit(self, messages: Sequence[Message]) -> Groups:
        """The records to process: of partitions that are ours, each offset once.

        A partition that came (or came back) while these were read may have records from before in front of those from
        its new start: it is read again from there.
        """
        for message in messages:
            if (error := message.error()) is not None:
                self._hear(error)
        groups = by_partition(message for message in messages if message.error() is None)
        again = {
            each: self.positions[each] for each in groups if each in self._fresh and each in self.positions
        }
        self._seek(again)
        admitted = {
            partition: [record for record in records if offset_of(record) >= self.positions[partition]]
            for partition, records in groups.items()
            if partition in self.positions and partition not in again
        }
        return {partition: records for partition, records in admitted.items() if records}


def _is_unstable(told: TopicPartition) -> bool:
    return told.error is not None and told.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT


def _names(partitions: Iterable[Partition]) -> list[str]:
    return [f"{topic}/{number}" for topic, number in partitions]


def _with_offsets(starts: Mapping[Partition, int]) -> list[TopicPartition]:
    # 0 for a partition without a committed offset: what was deleted before it is a matter for the log's start.
    return [
        TopicPartition(topic, number, offset or OFFSET_BEGINNING)
        for (topic, number), offset in starts.items()
    ]
