# ruff: noqa: D102 - the methods are confluent-kafka's, whose documentation says what they promise
"""The part of a Kafka client that the pipeline uses, as protocols, so that a simulated log can replace it.

The signatures are confluent-kafka's. `streams.kafka_clients` makes real clients, `streams.testing.memory_log` those
of a log in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, TopicPartition

#: Longest pause before a client connects again to a broker that was away; the default is 10 s.
RECONNECT_BACKOFF_MAX_MS: Final = 1_000
#: Pause before a consumer whose queue is full fetches again; the default is 1 s, in which a worker may empty the queue
#: and then has nothing to do.
FETCH_BACKOFF_MS: Final = 10

#: Instead of the number of a record's partition: its key decides.
BY_KEY: Final = -1
#: A topic and the number of one of its partitions.
Partition = tuple[str, int]


def subscribed(topic: str, inputs: Iterable[str]) -> bool:
    """Return whether a subscription to `inputs` includes the topic, by name or by an expression with `^`."""
    return any(re.match(each, topic) if each.startswith("^") else each == topic for each in inputs)


#: Callback of a rebalance; the first argument is the consumer.
Rebalanced = Callable[[Any, list[TopicPartition]], None]


class Message(Protocol):
    """One record as it was read, or an error (end of partition included) if `error()` isn't None."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def error(self) -> KafkaError | None: ...


class MessageBase:
    """`Message` for records that no Kafka client returned (tests, repaired records).

    Subclasses define the attributes.
    """

    __slots__ = ()
    topic_partition: Partition
    record_offset: int
    key_bytes: bytes | None
    value_bytes: bytes | None
    timestamp_ms: int
    failure: KafkaError | None

    def topic(self) -> str:
        """Return the topic."""
        return self.topic_partition[0]

    def partition(self) -> int:
        """Return the partition number."""
        return self.topic_partition[1]

    def offset(self) -> int:
        """Return the offset."""
        return self.record_offset

    def timestamp(self) -> tuple[int, int]:
        """Return kind (1: set by the producer) and timestamp, ms."""
        return 1, self.timestamp_ms

    def key(self) -> bytes | None:
        """Return the key."""
        return self.key_bytes

    def value(self) -> bytes | None:
        """Return the value; None is a tombstone."""
        return self.value_bytes

    def error(self) -> KafkaError | None:
        """Return the error, None for a record."""
        return self.failure


@dataclass(frozen=True, slots=True)
class LocalMessage(MessageBase):
    """A message made here: a record at its position with other content, or with none (a `Message`)."""

    topic_partition: Partition
    record_offset: int
    key_bytes: bytes | None = None
    value_bytes: bytes | None = None
    timestamp_ms: int = 0
    failure: KafkaError | None = None


class Consumer(Protocol):
    """A member of a group that reads committed records. It never commits offsets by itself."""

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
        """Return committed offsets at once; an unstable one has the error UNSTABLE_OFFSET_COMMIT."""

    def consumer_group_metadata(self) -> Any: ...
    def close(self) -> None: ...


class Reader(Protocol):
    """A reader of committed records from given offsets; it also returns each partition's end (PARTITION_EOF)."""

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
    """A rebalance of a group that was requested."""

    def completed(self) -> bool:
        """Return whether it has completed, without waiting."""

    def close(self) -> None:
        """End the request."""


class Clients(Protocol):
    """Factory of the clients of one worker slot."""

    def producer(self) -> Producer:
        """Return a new producer with the slot's `transactional.id`; its `init_transactions` fences the previous one."""

    def consumer(self) -> Consumer:
        """Return the slot's member of the group."""

    def reader(self) -> Reader:
        """Return a reader of changelogs and of single records, outside the group."""

    def tailing_reader(self) -> Reader:
        """Return a reader that follows a topic with few records for a long time."""

    def table_reader(self) -> Reader:
        """Return a reader of global tables, which a batch waits for: it returns the end of a partition soon."""

    def end_offsets(self, topic: str) -> dict[Partition, int]:
        """Return the offset after the last record of each partition, records of open transactions included.

        Raise UnavailableError without an answer in time, DeniedError if the topic is missing or may not be read.
        """

    def partition_count(self, topic: str) -> int:
        """Return the number of partitions of a topic, which never changes.

        Raise UnavailableError without an answer in time, DeniedError if the topic is missing or may not be used.
        """

    def now_ms(self) -> int:
        """Return the time of day, in ms since 1970; a simulated log has its own."""

    def barrier_partition(self) -> Partition:
        """Return the partition on which this slot commits its barrier tokens (`streams.barrier`).

        It is none of the group's inputs, and as a rule no other slot commits an offset of it.
        """

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Return input partitions that no member of the group has, or None: no answer yet, ask again."""

    def request_rebalance(self) -> RebalanceRequest:
        """Request a rebalance of the group; members continue with their partitions meanwhile."""


class Clock(Protocol):
    """A monotonic clock, in seconds."""

    def __call__(self) -> float: ...


@dataclass(frozen=True)
class ProducerRecords:
    """Encoded records for one topic.

    `partition` is a number, or BY_KEY: the key's hash decides. Without `timestamps_ms` the producer's clock.
    """

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int] | None = None
    partition: int = BY_KEY

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size_bytes(self) -> int:
        """Bytes of all values."""
        return sum(map(len, filter(None, self.values)))
