"""How far readers are: what is still to be read, told from outside.

A committed offset alone says little: transaction markers and aborted records take offsets and are never handed out, so
it never reaches the end. Idle is: no committed record is left from the committed offset on, and no transaction is open.
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
    """One partition: `committed` is the offset to go on from, `end` the one after its last record.

    `remaining` is an upper bound of the records left (markers count), and 0 where there is none.
    """

    committed: int
    end: int
    remaining: int


class LagReader:
    """Looks at groups by a user who may describe them, and read their topics. Keeps its clients until closed."""

    def __init__(self, connection: Mapping[str, Any], clock: Clock = time.monotonic) -> None:
        self._connection, self._clock = dict(connection), clock
        self._admin = AdminClient(dict(connection))
        #: Up to here, from there on, nothing is left: so that it isn't read again.
        self._known_clean: dict[tuple[Partition, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._known_clean.clear()

    def of_group(self, group_id: str, topics: Iterable[str]) -> dict[Partition, Lag]:
        """What a group has left of these topics. UnavailableError where the brokers don't tell in time."""
        partitions = self._partitions(set(topics))
        asked = [TopicPartition(*partition) for partition in partitions]
        if not asked:
            return {}
        told = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group_id, asked)], request_timeout=TIMEOUT_S
        )
        try:
            found = told[group_id].result(TIMEOUT_S).topic_partitions
        except (KafkaException, TimeoutError) as error:
            raise UnavailableError(f"offsets of {group_id}: {type(error).__name__}") from None
        return self.of_positions(
            {(each.topic, each.partition): max(0, each.offset) for each in found or ()}, group_id
        )

    def of_positions(
        self, positions: Mapping[Partition, int], group_id: str = "mesh"
    ) -> dict[Partition, Lag]:
        """What is left from these offsets on, wherever they are kept (a sink keeps its own in its database)."""
        ends = end_offsets(self._admin, positions, TIMEOUT_S)
        behind = {
            partition: offset
            for partition, offset in positions.items()
            if max(offset, self._known_clean.get((partition, offset), 0)) < ends[partition]
        }
        left = self._remaining(behind, ends, group_id) if behind else {}
        return {
            partition: Lag(offset, ends[partition], left.get(partition, 0))
            for partition, offset in positions.items()
        }

    def idle(self, group_id: str, topics: Iterable[str]) -> bool:
        """Whether nothing of these topics is left for the group."""
        return not any(lag.remaining for lag in self.of_group(group_id, topics).values())

    def _partitions(self, topics: set[str]) -> list[Partition]:
        try:
            known = self._admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise UnavailableError(f"list_topics: {error.args[0].name()}") from None
        return [(name, number) for name in sorted(topics & known.keys()) for number in known[name].partitions]

    def _remaining(
        self, behind: Mapping[Partition, int], ends: Mapping[Partition, int], group_id: str
    ) -> dict[Partition, int]:
        """For each of these how much may be left: read until a record comes, or the end."""
        reader = cast("Reader", KafkaConsumer(reader_properties(self._connection, group_id)))
        try:
            seen = _first_seen(reader, dict(behind), self._clock)
        finally:
            reader.close()
        left = {}
        for partition, offset in behind.items():
            clean_to = seen.get(partition)
            if clean_to is not None and clean_to >= ends[partition]:
                self._known_clean[partition, offset] = clean_to
            else:
                left[partition] = ends[partition] - offset
        return left


def _first_seen(reader: Reader, waiting: dict[Partition, int], clock: Clock) -> dict[Partition, int]:
    """The partitions' ends, of those that have no record before it."""
    reader.assign([TopicPartition(*partition, offset) for partition, offset in waiting.items()])
    ends: dict[Partition, int] = {}
    deadline = clock() + TIMEOUT_S
    while waiting and clock() < deadline:
        for message in reader.consume(1_000, 0.1):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                continue
            partition = partition_of(message)
            if waiting.pop(partition, None) is not None and error is not None:
                ends[partition] = offset_of(message)
    return ends
