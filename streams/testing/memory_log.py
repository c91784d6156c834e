"""A log in memory with the clients of a pipeline, for `streams.testing.driver`.

It has those guarantees of Kafka that matter to a pipeline: transactions are atomic and become visible when they are
committed; a new producer fences the previous one with its `transactional.id`; offsets with an old generation of the
group are rejected. A group has one member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import LocalMessage, Partition, Rebalanced, RebalanceRequest, subscribed
from streams.partitioner import partition_for


@dataclass
class MemoryLog:
    """Records by partition; the first write to a topic creates it with `partitions` partitions."""

    partitions: int = 4
    now_ms: int = 0
    #: Called before and after each call of a producer, with its name and "before" or "after". May raise KafkaException.
    on_call: Callable[[str, str], None] = lambda call, when: None
    records: dict[Partition, list[LocalMessage]] = field(default_factory=dict)
    partition_counts: dict[str, int] = field(default_factory=dict)
    #: Committed offsets by group and partition, and the metadata that was sent with them.
    committed: dict[str, dict[Partition, int]] = field(default_factory=dict)
    metadata: dict[str, dict[Partition, str]] = field(default_factory=dict)
    #: Generation and member of each group, epoch of each `transactional.id`.
    generations: dict[str, int] = field(default_factory=dict)
    members: dict[str, MemoryConsumer] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    def create(self, topic: str, partitions: int | None = None) -> None:
        """Create a topic unless it exists."""
        if topic not in self.partition_counts:
            self.partition_counts[topic] = partitions or self.partitions
            self.records.update({(topic, number): [] for number in range(self.partition_counts[topic])})

    def partition_count(self, topic: str) -> int:
        """Return the number of partitions that a topic has, or will have when it is created."""
        return self.partition_counts.get(topic, self.partitions)

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = -1, timestamp_ms: int = 0
    ) -> LocalMessage:
        """Append a record and return it. Without `partition` the key's hash decides; a null key counts as empty."""
        self.create(topic)
        number = partition if partition >= 0 else partition_for(key or b"", self.partition_counts[topic])
        records = self.records[topic, number]
        record = LocalMessage((topic, number), len(records), key, value, timestamp_ms or self.now_ms)
        records.append(record)
        return record

    def topic_records(self, topic: str) -> list[LocalMessage]:
        """Return the records of a topic, partition after partition."""
        numbers = range(self.partition_counts.get(topic, 0))
        return [record for number in numbers for record in self.records[topic, number]]

    def lag(self, group: str, inputs: Sequence[str]) -> int:
        """Return the number of records of these inputs that the group hasn't committed yet."""
        offsets = self.committed.get(group, {})
        return sum(
            len(self.records[partition]) - offsets.get(partition, 0)
            for partition in self.matching_partitions(inputs)
        )

    def matching_partitions(self, inputs: Sequence[str]) -> list[Partition]:
        """Return the partitions of all topics that a subscription to `inputs` includes."""
        return [partition for partition in self.records if subscribed(partition[0], inputs)]


class MemoryConsumer:
    """The only member of its group; `read_limit` returns before each read how many records it may return at most."""

    def __init__(self, log: MemoryLog, group: str, read_limit: Callable[[], int] | None = None) -> None:
        self._log, self._group, self._read_limit = log, group, read_limit or (lambda: 1_000_000)
        self._inputs: Sequence[str] = ()
        self._generation = 0
        self._on_assign: Rebalanced | None = None
        #: Callback that the next read calls with all partitions.
        self._pending_revocation: Rebalanced | None = None
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()

    def subscribe(
        self, topics: list[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None:
        """Join the group; each read assigns the partitions that are new."""
        self._inputs, self._on_assign, self._on_revoke, self._on_lost = topics, on_assign, on_revoke, on_lost
        self._generation = self._log.generations[self._group] = self._log.generations.get(self._group, 0) + 1
        self._log.members[self._group] = self

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """Return records that are present, without waiting."""
        self._rebalance()
        limit, records = min(num_messages, self._read_limit()), list[LocalMessage]()
        for partition in sorted(self._positions.keys() - self._paused):
            start = self._positions[partition]
            portion = self._log.records[partition][start : start + limit - len(records)]
            self._positions[partition] += len(portion)
            records.extend(portion)
        return records

    def revoke_all(self, lost: bool = False) -> None:
        """Begin a rebalance: the next read reports all partitions as revoked (or as lost), and assigns them again."""
        self._pending_revocation = self._on_lost if lost else self._on_revoke
        self._log.generations[self._group] += 1

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from their offsets."""
        self._positions.update({(each.topic, each.partition): max(0, each.offset) for each in partitions})

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions no longer."""
        for partition in _partitions(partitions):
            del self._positions[partition]
            self._paused.discard(partition)

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Pause these partitions."""
        self._paused.update(_partitions(partitions))

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Resume these partitions."""
        self._paused.difference_update(_partitions(partitions))

    def seek(self, partition: TopicPartition) -> None:
        """Set the next offset to read."""
        self._positions[partition.topic, partition.partition] = max(0, partition.offset)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Return the group's committed offsets with their metadata; -1001 if there is none."""
        offsets, metadata = self._log.committed.get(self._group, {}), self._log.metadata.get(self._group, {})
        return [
            TopicPartition(*partition, offsets.get(partition, -1001), metadata.get(partition, ""))
            for partition in _partitions(partitions)
        ]

    def consumer_group_metadata(self) -> tuple[str, int]:
        """Return the group and this member's generation, which is old until it has read after a rebalance."""
        return self._group, self._generation

    def close(self) -> None:
        """Leave the group."""
        if self._positions:
            self._on_revoke(self, [TopicPartition(*partition) for partition in self._positions])

    def _rebalance(self) -> None:
        if self._pending_revocation:
            self._pending_revocation(self, [TopicPartition(*partition) for partition in self._positions])
            self._pending_revocation = None
            self._generation = self._log.generations[self._group]
        new = [each for each in self._log.matching_partitions(self._inputs) if each not in self._positions]
        if new and self._on_assign:
            self._on_assign(self, [TopicPartition(*partition) for partition in new])


class MemoryReader:
    """A reader of given partitions, which returns the end of each whenever it reaches it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._positions: dict[Partition, int] = {}
        self._ends_reported: set[Partition] = set()

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from their offsets, and no others."""
        self._positions = {(each.topic, each.partition): max(0, each.offset) for each in partitions}
        self._ends_reported.clear()

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """Return records and ends of partitions, without waiting."""
        messages: list[LocalMessage] = []
        for partition, start in self._positions.items():
            records = self._log.records.get(partition, [])[start : start + num_messages - len(messages)]
            messages.extend(records)
            self._positions[partition] = end = start + len(records)
            if records:
                self._ends_reported.discard(partition)
            if len(messages) < num_messages and partition not in self._ends_reported:
                self._ends_reported.add(partition)
                eof = KafkaError(KafkaError._PARTITION_EOF)
                messages.append(LocalMessage(partition, end, None, None, failure=eof))
        return messages

    def close(self) -> None:
        """Do nothing."""


class _ProducedRecord(NamedTuple):
    """A record of the open transaction."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int
    timestamp_ms: int


class MemoryProducer:
    """A producer of atomic transactions, until the next producer with its `transactional.id` fences it."""

    def __init__(self, log: MemoryLog, transactional_id: str) -> None:
        self._log, self._id, self._epoch = log, transactional_id, -1
        #: Records and offsets (by group) of the open transaction; None if there is none.
        self._open: list[_ProducedRecord] | None = None
        self._offsets: dict[str, list[TopicPartition]] = {}

    def init_transactions(self, timeout: float) -> None:
        """Fence all previous producers with this `transactional.id`."""
        self._log.on_call("init_transactions", "before")
        self._epoch = self._log.epochs[self._id] = self._log.epochs.get(self._id, -1) + 1
        self._log.on_call("init_transactions", "after")

    def begin_transaction(self) -> None:
        """Open a transaction."""
        self._check("begin_transaction")
        self._open, self._offsets = [], {}

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, timestamp: int
    ) -> None:
        """Add a record to the transaction; readers receive it when the transaction is committed."""
        self._check("produce")
        if partition >= self._log.partition_count(topic):
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        self._opened().append(_ProducedRecord(topic, key, value, partition, timestamp))

    def poll(self, timeout: float) -> int:
        """Return 0: no callback is pending."""
        return 0

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float
    ) -> None:
        """Add offsets to the transaction; raise ILLEGAL_GENERATION if the group has a newer generation."""
        self._check("send_offsets_to_transaction")
        group, generation = group_metadata
        if generation != self._log.generations[group]:
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True))
        self._opened()
        self._offsets[group] = positions
        self._log.on_call("send_offsets_to_transaction", "after")

    def commit_transaction(self, timeout: float) -> None:
        """Append the transaction's records and commit its offsets."""
        self._check("commit_transaction")
        for record in self._opened():
            self._log.append(*record)
        for group, positions in self._offsets.items():
            offsets = self._log.committed.setdefault(group, {})
            metadata = self._log.metadata.setdefault(group, {})
            for each in positions:
                offsets[each.topic, each.partition] = each.offset
                metadata[each.topic, each.partition] = each.metadata or ""
        self._open = None
        self._log.on_call("commit_transaction", "after")

    def abort_transaction(self, timeout: float) -> None:
        """Drop the transaction's records and offsets."""
        self._check("abort_transaction")
        self._open = None
        self._log.on_call("abort_transaction", "after")

    def purge(self) -> None:
        """Drop the open transaction."""
        self._open = None

    def _opened(self) -> list[_ProducedRecord]:
        if self._open is None:
            raise KafkaException(KafkaError(KafkaError._STATE))
        return self._open

    def _check(self, call: str) -> None:
        self._log.on_call(call, "before")
        if self._epoch != self._log.epochs.get(self._id):
            raise KafkaException(KafkaError(KafkaError._FENCED, fatal=True))


@dataclass
class MemoryClients:
    """One slot's clients on a log (`streams.clients.Clients`)."""

    log: MemoryLog
    group: str
    transactional_id: str
    read_limit: Callable[[], int] | None = None

    def producer(self) -> MemoryProducer:
        """Return a new producer with the slot's `transactional.id`."""
        return MemoryProducer(self.log, self.transactional_id)

    def consumer(self) -> MemoryConsumer:
        """Return the only member of the group."""
        return MemoryConsumer(self.log, self.group, self.read_limit)

    def reader(self) -> MemoryReader:
        """Return a reader of changelogs and of single records."""
        return MemoryReader(self.log)

    def tailing_reader(self) -> MemoryReader:
        """Return a reader of operator commands."""
        return MemoryReader(self.log)

    def table_reader(self) -> MemoryReader:
        """Return a reader of global tables."""
        return MemoryReader(self.log)

    def end_offsets(self, topic: str) -> dict[Partition, int]:
        """Return the offset after the last record of each partition; none before the topic's first record."""
        numbers = range(self.log.partition_counts.get(topic, 0))
        return {(topic, number): len(self.log.records[topic, number]) for number in numbers}

    def partition_count(self, topic: str) -> int:
        """Return the number of partitions of a topic; it may be one that the first record will create."""
        return self.log.partition_count(topic)

    def now_ms(self) -> int:
        """Return the time of the log's clock."""
        return self.log.now_ms

    def barrier_partition(self) -> Partition:
        """Return a partition that no client reads or writes: the only member can't share it with another slot."""
        return self.transactional_id, 0

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Return no partition: the only member has all of them."""
        return frozenset()

    def request_rebalance(self) -> RebalanceRequest:
        """Return a completed request: a group with one member is always balanced."""
        return _CompletedRebalance()


class _CompletedRebalance:
    """A rebalance that is complete at once (`streams.clients.RebalanceRequest`)."""

    def completed(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""


def _partitions(positions: Iterable[TopicPartition]) -> list[Partition]:
    return [(each.topic, each.partition) for each in positions]
