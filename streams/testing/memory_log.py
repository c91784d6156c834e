"""A log in memory, with the clients that the pipeline wants: what the driver of `streams.testing.driver` runs on.

It keeps Kafka's promises that matter to a pipeline: transactions whole or not at all and seen only when committed, a
producer fenced by the next of its `transactional.id`, offsets refused under an old generation. One member per group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import LocalMessage, Partition, Rebalanced, RebalanceRequest, subscribed


@dataclass
class MemoryLog:
    """Topics by name, each a list of records per partition. A topic that isn't there is made on the first write."""

    partitions: int = 4
    now_ms: int = 0
    #: Called before and after each call of a producer with its name; may raise a KafkaException.
    on_call: Callable[[str, str], None] = lambda call, when: None
    records: dict[Partition, list[LocalMessage]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    committed: dict[str, dict[Partition, int]] = field(default_factory=dict)
    #: What came with these offsets.
    metadata: dict[str, dict[Partition, str]] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    def create(self, topic: str, partitions: int | None = None) -> None:
        """Makes a topic where it isn't there."""
        if topic not in self.sizes:
            self.sizes[topic] = partitions or self.partitions
            self.records.update({(topic, number): [] for number in range(self.sizes[topic])})

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = -1, timestamp_ms: int = 0
    ) -> LocalMessage:
        """Writes a record; without a partition, murmur2 of its key chooses (a null key: partition 0)."""
        self.create(topic)
        number = partition if partition >= 0 else partition_for(key or b"", self.sizes[topic])
        at = self.records[topic, number]
        at.append(LocalMessage((topic, number), len(at), key, value, timestamp_ms or self.now_ms))
        return at[-1]

    def of_topic(self, topic: str) -> list[LocalMessage]:
        """A topic's records, partition after partition."""
        return [each for number in range(self.sizes.get(topic, 0)) for each in self.records[topic, number]]

    def lag(self, group: str, inputs: Sequence[str]) -> int:
        """Records of these inputs that the group has still to process."""
        offsets = self.committed.get(group, {})
        return sum(len(self.records[each]) - offsets.get(each, 0) for each in self.matching(inputs))

    def matching(self, inputs: Sequence[str]) -> list[Partition]:
        """Partitions of topics that are named, or match an expression that begins with `^`."""
        return [each for each in self.records if subscribed(each[0], inputs)]


class MemoryConsumer:
    """The only member of its group; `limit` says before each read how many records it may give at most."""

    def __init__(self, log: MemoryLog, group: str, limit: Callable[[], int] | None = None) -> None:
        self._log, self._group, self._limit = log, group, limit or (lambda: 1_000_000)
        self._inputs: Sequence[str] = ()
        self._on_assign: Rebalanced | None = None
        #: What is to be told of all partitions.
        self._pending_revocation: Rebalanced | None = None
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()

    def subscribe(
        self, topics: list[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None:
        """Partitions are handed out by the next read, those of new topics too."""
        self._inputs, self._on_assign, self._on_revoke, self._on_lost = topics, on_assign, on_revoke, on_lost
        self._log.generations[self._group] = self._log.generations.get(self._group, 0) + 1

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """What is there; nothing is waited for."""
        self._rebalance()
        wanted, taken = min(num_messages, self._limit()), list[LocalMessage]()
        for partition in sorted(self._positions.keys() - self._paused):
            start = self._positions[partition]
            got = self._log.records[partition][start : start + wanted - len(taken)]
            self._positions[partition] += len(got)
            taken.extend(got)
        return taken

    def _rebalance(self) -> None:
        if self._pending_revocation:
            self._pending_revocation(self, [TopicPartition(*each) for each in self._positions])
            self._pending_revocation = None
        new = [each for each in self._log.matching(self._inputs) if each not in self._positions]
        if new and self._on_assign:
            self._on_assign(self, [TopicPartition(*each) for each in new])

    def revoke_all(self, lost: bool = False) -> None:
        """All partitions are the group's again at once; the next read tells (revoked, or lost), and hands them out."""
        self._pending_revocation = self._on_lost if lost else self._on_revoke
        self._log.generations[self._group] += 1

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Reads these from now on."""
        self._positions.update({(each.topic, each.partition): max(0, each.offset) for each in partitions})

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Reads these no more."""
        for each in partitions:
            del self._positions[each.topic, each.partition]
            self._paused.discard((each.topic, each.partition))

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Holds these back."""
        self._paused.update((each.topic, each.partition) for each in partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Goes on with these."""
        self._paused.difference_update((each.topic, each.partition) for each in partitions)

    def seek(self, partition: TopicPartition) -> None:
        """Goes on from there."""
        self._positions[partition.topic, partition.partition] = max(0, partition.offset)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The group's committed offsets, with their metadata; -1001 where there is none."""
        offsets, metadata = self._log.committed.get(self._group, {}), self._log.metadata.get(self._group, {})
        places = [(each.topic, each.partition) for each in partitions]
        return [TopicPartition(*each, offsets.get(each, -1001), metadata.get(each, "")) for each in places]

    def consumer_group_metadata(self) -> tuple[str, int]:
        """Group and generation."""
        return self._group, self._log.generations[self._group]

    def close(self) -> None:
        """Leaves."""
        if self._positions:
            self._on_revoke(self, [TopicPartition(*each) for each in self._positions])


class MemoryReader:
    """Reads given partitions, and tells each one's end whenever it comes to it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._positions: dict[Partition, int] = {}
        self._ends_reported: set[Partition] = set()

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Reads these, from their offsets."""
        self._positions = {(each.topic, each.partition): max(0, each.offset) for each in partitions}
        self._ends_reported.clear()

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """Records, or the end of a partition."""
        taken: list[LocalMessage] = []
        for partition, start in self._positions.items():
            got = self._log.records.get(partition, [])[start : start + num_messages - len(taken)]
            taken.extend(got)
            self._positions[partition] = end = start + len(got)
            if got:
                self._ends_reported.discard(partition)
            if len(taken) < num_messages and partition not in self._ends_reported:
                self._ends_reported.add(partition)
                eof = KafkaError(KafkaError._PARTITION_EOF)
                taken.append(LocalMessage(partition, end, None, None, failure=eof))
        return taken

    def close(self) -> None:
        """Nothing is held."""


class MemoryProducer:
    """Transactions whole or not at all; the next producer of the same id fences this one."""

    def __init__(self, log: MemoryLog, transactional_id: str) -> None:
        self._log, self._id, self._epoch = log, transactional_id, -1
        self._open: list[tuple[str, bytes | None, bytes | None, int, int]] | None = None
        self._offsets: dict[str, list[TopicPartition]] = {}

    def init_transactions(self, timeout: float) -> None:
        """Fences those before."""
        self._log.on_call("init_transactions", "before")
        self._epoch = self._log.epochs[self._id] = self._log.epochs.get(self._id, -1) + 1
        self._log.on_call("init_transactions", "after")

    def begin_transaction(self) -> None:
        """Opens one."""
        self._check("begin_transaction")
        self._open, self._offsets = [], {}

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, timestamp: int
    ) -> None:
        """Seen when committed."""
        self._check("produce")
        self._opened().append((topic, key, value, partition, timestamp))

    def poll(self, timeout: float) -> int:
        """Nothing is waited for."""
        return 0

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float
    ) -> None:
        """Committed with the transaction; refused under an old generation."""
        self._check("send_offsets_to_transaction")
        group, generation = group_metadata
        if generation != self._log.generations[group]:
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True))
        self._opened()
        self._offsets[group] = positions
        self._log.on_call("send_offsets_to_transaction", "after")

    def commit_transaction(self, timeout: float) -> None:
        """All of it is seen from now on."""
        self._check("commit_transaction")
        for topic, key, value, partition, timestamp_ms in self._opened():
            self._log.append(topic, key, value, partition, timestamp_ms)
        for group, told in self._offsets.items():
            offsets, metadata = (
                self._log.committed.setdefault(group, {}),
                self._log.metadata.setdefault(group, {}),
            )
            for each in told:
                offsets[each.topic, each.partition] = each.offset
                metadata[each.topic, each.partition] = each.metadata or ""
        self._open = None
        self._log.on_call("commit_transaction", "after")

    def abort_transaction(self, timeout: float) -> None:
        """None of it ever was."""
        self._check("abort_transaction")
        self._open = None
        self._log.on_call("abort_transaction", "after")

    def purge(self) -> None:
        """Nothing is held."""
        self._open = None

    def _opened(self) -> list[tuple[str, bytes | None, bytes | None, int, int]]:
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
    limit: Callable[[], int] | None = None

    def producer(self) -> MemoryProducer:
        """The slot's next producer."""
        return MemoryProducer(self.log, self.transactional_id)

    def consumer(self) -> MemoryConsumer:
        """The group's only member."""
        return MemoryConsumer(self.log, self.group, self.limit)

    def reader(self) -> MemoryReader:
        """Reads changelogs."""
        return MemoryReader(self.log)

    def tailing_reader(self) -> MemoryReader:
        """Reads acts."""
        return MemoryReader(self.log)

    def barrier_partition(self) -> Partition:
        """Of a topic that nothing is written to: a group has one member here."""
        return self.transactional_id, 0

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """None: a group has one member here, which has them all."""
        return frozenset()

    def request_rebalance(self) -> RebalanceRequest:
        """A group of one is balanced at once."""
        return _Balanced()


class _Balanced:
    """A rebalance that has come (`streams.clients.Rebalancer`)."""

    def completed(self) -> bool:
        """It has."""
        return True

    def close(self) -> None:
        """Nothing is under way."""


def partition_for(key: bytes, partitions: int) -> int:
    """The partition that Kafka's Java clients give a key: murmur2, made positive, modulo."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 (Austin Appleby) with the seed that Kafka's clients use; unsigned, 32 bits."""
    mask, m, length = 0xFFFFFFFF, 0x5BD1E995, len(data)
    h = 0x9747B28C ^ length
    whole = length - length % 4
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ (k >> 24)) * m & mask)
    if length % 4:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
