"""Lag: how much a consumer group, or any reader at given offsets, still has to read.

The committed offset never reaches the end of a partition: transaction markers and aborted records occupy offsets, but
readers never receive them. A group is idle if no committed record follows its committed offsets and no transaction is
open.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, cast

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.clients import Clock, Partition, Reader
from streams.decoding import offset_of, partition_of
from streams.errors import UnavailableError
from streams.kafka_clients import end_offsets, reader_properties

TIMEOUT_S: Final = 15.0


@dataclass(frozen=True)
class Lag:
    """The lag of one partition: `committed` is the next offset to read, `end` the offset after the last record.

    `remaining` is 0 if no record remains, else an upper bound of their number, since it includes transaction markers.
    """

    committed: int
    end: int
    remaining: int

    @property
    def is_beyond_end(self) -> bool:
        """Whether the reader has read offsets that the log no longer has: it was truncated, or created again."""
        return self.committed > self.end


class LagReader:
    """Reads lags, as a user who may describe the groups and read the topics. Keeps its client until it is closed."""

    def __init__(self, connection: Mapping[str, Any], clock: Clock = time.monotonic) -> None:
        self._connection, self._clock = dict(connection), clock
        self._admin = AdminClient(dict(connection))
        #: By partition and offset: the offset up to which no record follows, so that the range isn't read again.
        self._empty_up_to: dict[tuple[Partition, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._empty_up_to.clear()

    def of_group(self, group_id: str, topics: Iterable[str]) -> dict[Partition, Lag]:
        """Return the lag of a group in each partition of these topics.

        Raise UnavailableError if the brokers don't answer within `TIMEOUT_S`.
        """
        partitions = [TopicPartition(*partition) for partition in self._existing_partitions(set(topics))]
        if not partitions:
            return {}
        answers = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group_id, partitions)], request_timeout=TIMEOUT_S
        )
        try:
            committed = answers[group_id].result(TIMEOUT_S).topic_partitions
        except (KafkaException, TimeoutError) as error:
            raise UnavailableError(f"offsets of {group_id}: {type(error).__name__}") from None
        positions = {(each.topic, each.partition): max(0, each.offset) for each in committed or ()}
        return self.of_positions(positions, group_id)

    def of_positions(
        self, positions: Mapping[Partition, int], group_id: str = "mesh"
    ) -> dict[Partition, Lag]:
        """Return the lag of a reader at these offsets, wherever it stores them: a sink has its own in its database.

        `group_id` is one that the user may name; nothing is committed to it.
        """
        ends = end_offsets(self._admin, positions, TIMEOUT_S)
        not_at_end = {
            partition: offset
            for partition, offset in positions.items()
            if max(offset, self._empty_up_to.get((partition, offset), 0)) < ends[partition]
        }
        remaining = self._remaining(not_at_end, ends, group_id) if not_at_end else {}
        return {
            partition: Lag(offset, ends[partition], remaining.get(partition, 0))
            for partition, offset in positions.items()
        }

    def idle(self, group_id: str, topics: Iterable[str]) -> bool:
        """Return whether no record of these topics remains for the group."""
        return not any(lag.remaining for lag in self.of_group(group_id, topics).values())

    def _existing_partitions(self, topics: set[str]) -> list[Partition]:
        try:
            existing = self._admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise UnavailableError(f"list_topics: {error.args[0].name()}") from None
        return [
            (name, number)
            for name in sorted(topics & existing.keys())
            for number in existing[name].partitions
        ]

    def _remaining(
        self, positions: Mapping[Partition, int], ends: Mapping[Partition, int], group_id: str
    ) -> dict[Partition, int]:
        """Return an upper bound of the remaining records of each partition that has any, or may have."""
        reader = cast("Reader", KafkaConsumer(reader_properties(self._connection, group_id)))
        try:
            empty_up_to = _ends_without_records(reader, positions, self._clock)
        finally:
            reader.close()
        remaining = {}
        for partition, offset in positions.items():
            end = empty_up_to.get(partition)
            if end is not None and end >= ends[partition]:
                self._empty_up_to[partition, offset] = end
            else:
                remaining[partition] = ends[partition] - offset
        return remaining


def _ends_without_records(
    reader: Reader, positions: Mapping[Partition, int], clock: Clock
) -> dict[Partition, int]:
    """Read each partition from its position until a record or the end comes; return the ends that came first."""
    undecided = set(positions)
    reader.assign([TopicPartition(*partition, offset) for partition, offset in positions.items()])
    ends: dict[Partition, int] = {}
    deadline = clock() + TIMEOUT_S
    while undecided and clock() < deadline:
        for message in reader.consume(1_000, 0.1):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                continue
            partition = partition_of(message)
            if partition in undecided:
                undecided.discard(partition)
                if error is not None:
                    ends[partition] = offset_of(message)
    return ends
