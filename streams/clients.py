# ruff: noqa: D102 - the methods are confluent-kafka's, which says what they promise
"""The part of a Kafka client that the pipeline uses, so that a simulated log can stand in for it.

The shapes are confluent-kafka's own; `streams.kafka_clients` makes real ones, `streams.testing.memory_log` those of a log in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, TopicPartition

#: A broker that comes back is found within a second; by default a client that missed it for long waits ten.
RECONNECT_BACKOFF_MAX_MS: Final = 1_000
#: How soon a consumer that has read ahead as much as it may looks for room again; a second by default, in which a
#: worker may have used up all of it, and stands still.
FETCH_BACKOFF_MS: Final = 10

#: A topic and the number of one of its partitions.
Partition = tuple[str, int]


def subscribed(topic: str, inputs: Iterable[str]) -> bool:
    """Whether one who subscribes to these reads the topic: it is named, or matches one that begins with `^`."""
    return any(re.match(each, topic) if each.startswith("^") else each == topic for each in inputs)


#: What a consumer calls when its partitions change; the first argument is the consumer itself.
Rebalanced = Callable[[Any, list[TopicPartition]], None]


class Message(Protocol):
    """One record as it was read, or an error (or end of partition) where `error()` isn't None."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def error(self) -> KafkaError | None: ...


class MessageBase:
    """The shape of a `Message`, for a record that is held by itself: whoever holds it says what is in it."""

    __slots__ = ()
    topic_partition: Partition
    record_offset: int
    key_bytes: bytes | None
    value_bytes: bytes | None
    timestamp_ms: int
    failure: KafkaError | None

    def topic(self) -> str:
        """Its topic."""
        return self.topic_partition[0]

    def partition(self) -> int:
        """Its partition."""
        return self.topic_partition[1]

    def offset(self) -> int:
        """Its offset."""
        return self.record_offset

    def timestamp(self) -> tuple[int, int]:
        """Kind (1: given by the producer) and time, ms."""
        return 1, self.timestamp_ms

    def key(self) -> bytes | None:
        """Its key."""
        return self.key_bytes

    def value(self) -> bytes | None:
        """Its value; None is a tombstone."""
        return self.value_bytes

    def error(self) -> KafkaError | None:
        """None for a record."""
        return self.failure


@dataclass(frozen=True, slots=True)
class LocalMessage(MessageBase):
    """A record at its place, held by itself, with other content than it had there, or with none (a `Message`)."""

    topic_partition: Partition
    record_offset: int
    key_bytes: bytes | None = None
    value_bytes: bytes | None = None
    timestamp_ms: int = 0
    failure: KafkaError | None = None


class Consumer(Protocol):
    """A member of a group that reads committed records; it never commits by itself."""

    def subscribe(
        self, topics: list[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None: ...
    def consume(self, num_messages: int, timeout: float) -> Sequence[Message]: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def seek(self, partition: TopicPartition) -> None: ...
    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """At once: an offset that an open transaction holds comes as the error UNSTABLE_OFFSET_COMMIT."""

    def consumer_group_metadata(self) -> Any: ...
    def close(self) -> None: ...


class Reader(Protocol):
    """Reads given partitions from given offsets, committed records only, and tells their end (PARTITION_EOF)."""

    def assign(self, partitions: list[TopicPartition]) -> None: ...
    def consume(self, num_messages: int, timeout: float) -> Sequence[Message]: ...
    def close(self) -> None: ...


class Producer(Protocol):
    """A transactional producer."""

    def init_transactions(self, timeout: float) -> None: ...
    def begin_transaction(self) -> None: ...
    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        *,
        timestamp: int,
    ) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float
    ) -> None: ...
    def commit_transaction(self, timeout: float) -> None: ...
    def abort_transaction(self, timeout: float) -> None: ...
    def purge(self) -> None: ...


class RebalanceRequest(Protocol):
    """A call for a group's rebalance, under way."""

    def completed(self) -> bool:
        """Whether the group was balanced anew; waits for nothing."""

    def close(self) -> None:
        """Calls no more."""


class Clients(Protocol):
    """Makes the clients of one worker slot."""

    def producer(self) -> Producer:
        """A new producer with the slot's `transactional.id`; `init_transactions` fences the one before."""

    def consumer(self) -> Consumer:
        """The slot's member of the group."""

    def reader(self) -> Reader:
        """Reads changelogs, and records at their places, apart from the group."""

    def tailing_reader(self) -> Reader:
        """Reads a topic in which little happens, for long."""

    def barrier_partition(self) -> Partition:
        """A partition that the group doesn't read, and whose offset in it no other slot sets (as a rule)."""

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Partitions of these topics that no member of the group has, as far as can be told; None: ask again later."""

    def request_rebalance(self) -> RebalanceRequest:
        """Has the group balanced anew; who has a partition goes on with it meanwhile."""


class Clock(Protocol):
    """Time that only goes forward, in seconds."""

    def __call__(self) -> float: ...


@dataclass(frozen=True)
class ProducerRecords:
    """Encoded records for one topic; where it says nothing, the key's hash and the producer's clock decide."""

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int] | None = None
    partition: int = -1

    def __len__(self) -> int:
        return len(self.values)
