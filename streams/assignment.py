"""Which partitions are ours, from which offset each goes on, and their state.

Callbacks of the group come only from within `Consumer.consume` and `close`, when no transaction is open: what was
processed is committed by then, and what was only read is dropped with the partition and read by the next owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from streams.clients import Consumer, Message, Partition
from streams.decoding import by_partition, offset_of
from streams.errors import UnavailableError
from streams.processing import Processing
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.state import PartitionState
from streams.verdict import read_error, stopped_by

log = structlog.get_logger()

Groups = dict[Partition, list[Message]]


class Assignment:
    """The partitions of one consumer."""

    def __init__(
        self,
        consumer: Consumer,
        processing: Processing,
        restorer: Restorer | None,
        settings: PipelineSettings,
    ) -> None:
        self._consumer, self._processing, self._restorer = consumer, processing, restorer
        self._settings = settings
        #: The offset to go on from, for each partition that is ours.
        self.positions: dict[Partition, int] = {}
        #: State by partition number; empty for a stateless step.
        self.states: dict[int, PartitionState] = {}
        self._fresh: set[Partition] = set()

    def subscribe(self, inputs: Sequence[str]) -> None:
        """Joins the group."""
        self._consumer.subscribe(
            list(inputs), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def gather(self, records_max: int, bytes_max: int, timeout_s: float) -> Groups:
        """Records of our partitions, by partition; waits for the first, and shortly for the others."""
        self._fresh.clear()
        taken: list[Message] = []
        size, wait_s = 0, timeout_s
        while len(taken) < records_max and size < bytes_max:
            # The first is worth a wait; the others come at once or with the next batch.
            wanted = 1 if not taken and wait_s else min(1_000, records_max - len(taken))
            got = self._consumer.consume(wanted, wait_s)
            taken.extend(got)
            size += sum(len(message.value() or b"") for message in got if message.error() is None)
            wait_s = self._settings.gather_timeout_s
            if len(got) < wanted:
                break
        return self._admit(taken)

    def advance(self, offsets: Mapping[Partition, int]) -> None:
        """These offsets are committed: go on from them."""
        for partition, offset in offsets.items():
            if partition in self.positions:
                self.positions[partition] = offset

    def rewind(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Goes back to what is committed; the offsets to go on from, of those that are still ours."""
        ours = [partition for partition in partitions if partition in self.positions]
        starts = self._committed(ours)
        self._seek(starts)
        return starts

    def restored(self, numbers: Iterable[int]) -> None:
        """The state of these is whole: they go on."""
        chosen = set(numbers)
        going_on = [partition for partition in self.positions if partition[1] in chosen]
        self._consumer.resume([TopicPartition(*partition) for partition in going_on])

    def _on_assign(self, _: Any, partitions: list[TopicPartition]) -> None:
        starts = self._committed([(each.topic, each.partition) for each in partitions])
        self._consumer.incremental_assign(_with_offsets(starts))
        self.positions.update(starts)
        self._fresh.update(starts)
        log.info("partitions.assigned", partitions=[f"{topic}/{number}" for topic, number in starts])
        if self._restorer:
            self._consumer.pause([TopicPartition(*partition) for partition in starts])
            new = {number: self._processing.new_state() for _, number in starts}
            self.states.update(new)
            self._restorer.begin(new)

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up("partitions.revoked", partitions)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up("partitions.lost", partitions)

    def _give_up(self, event: str, partitions: list[TopicPartition]) -> None:
        self._consumer.incremental_unassign(partitions)
        gone = [(each.topic, each.partition) for each in partitions]
        for partition in gone:
            self.positions.pop(partition, None)
            self.states.pop(partition[1], None)
        if self._restorer:
            self._restorer.drop(number for _, number in gone)
        log.info(event, partitions=[f"{topic}/{number}" for topic, number in gone])

    def _committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Committed offsets, stable ones only: waits for transactions that hold others."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        try:
            found = self._consumer.committed(asked, self._settings.request_timeout_s)
        except KafkaException as failure:
            raise UnavailableError(f"committed: {failure.args[0].name()}") from None
        for each in found:
            if each.error:
                raise stopped_by(each.error)
        return {(each.topic, each.partition): max(0, each.offset) for each in found}

    def _seek(self, starts: Mapping[Partition, int]) -> None:
        for each in _with_offsets(starts):
            try:
                self._consumer.seek(each)
            except KafkaException as failure:
                raise stopped_by(failure.args[0]) from None
        self.positions.update(starts)

    def _admit(self, messages: Sequence[Message]) -> Groups:
        """The records to process: of partitions that are ours, each offset once.

        A partition that came (or came back) while these were read may have records from before in front of those from
        its new start: it is read again from there.
        """
        for message in messages:
            stopped = (error := message.error()) and read_error(error)
            if stopped:
                raise stopped
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


def _with_offsets(starts: Mapping[Partition, int]) -> list[TopicPartition]:
    # 0 for a partition without a committed offset: what was deleted before it is a matter for the log's start.
    return [
        TopicPartition(topic, number, offset or OFFSET_BEGINNING)
        for (topic, number), offset in starts.items()
    ]
