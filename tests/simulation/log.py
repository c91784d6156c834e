"""A partitioned log with open transactions, aborted records and control markers, as brokers store it.

`streams.testing.memory_log` promises another thing: a log without faults, for tests of single steps. This log has
stale brokers, full disks and transactions that end late, and is read by clients that behave as librdkafka does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache

from confluent_kafka import KafkaError

from streams.clients import MessageBase, Partition, subscribed
from streams.partitioner import partition_for
from tests.simulation.virtual_time import VirtualTime


class TransactionState(Enum):
    """State of a transaction, as the coordinator has decided it."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction: its partitions with records, and the groups with offsets in it."""

    transactional_id: str
    state: TransactionState = TransactionState.OPEN
    #: The log's version when the end was decided.
    ended_version: int = 0
    partitions: dict[Partition, None] = field(default_factory=dict)
    groups: dict[str, None] = field(default_factory=dict)


class LogEntry(MessageBase):
    """A record (`streams.clients.Message`), a transaction's control marker, or a client's event about a partition."""

    __slots__ = (
        "control",
        "failure",
        "key_bytes",
        "polled_version",
        "record_offset",
        "timestamp_ms",
        "topic_partition",
        "transaction",
        "value_bytes",
        "version",
    )

    def __init__(
        self,
        partition: Partition,
        offset: int,
        key: bytes | None = None,
        value: bytes | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        self.topic_partition, self.record_offset, self.timestamp_ms = partition, offset, timestamp_ms
        self.key_bytes, self.value_bytes = key, value
        self.transaction: Transaction | None = None
        self.control = False
        self.failure: KafkaError | None = None
        #: The log's version when its producer's process last polled records: what it was made from.
        self.polled_version = 0
        #: The log's version with this record.
        self.version = 0

    @property
    def aborted(self) -> bool:
        """Whether its transaction was aborted."""
        return self.transaction is not None and self.transaction.state is TransactionState.ABORTED


def partition_end(partition: Partition, offset: int) -> LogEntry:
    """Return the event by which a client reports the end of a partition."""
    entry = LogEntry(partition, offset)
    entry.failure = KafkaError(KafkaError._PARTITION_EOF)
    return entry


#: The partitioner of Java's clients, cached because the same keys come again and again.
_partition_of_key = cache(partition_for)


class Log:
    """Topics and their partitions. `uncommitted_reads` collects records that were read before their commit."""

    def __init__(self, time: VirtualTime, partitions: int) -> None:
        self.time, self.partitions = time, partitions
        self.topics: dict[str, int] = {}
        self.entries: dict[Partition, list[LogEntry]] = {}
        #: First offset of each open transaction.
        self._open: dict[Partition, dict[Transaction, int]] = {}
        #: Until that moment every write fails.
        self.disk_full_until_s = 0.0
        self.uncommitted_reads: list[LogEntry] = []
        #: Grows with every change that may give a reader something to read.
        self.version = 0
        self._topic_listeners: list[Callable[[str], None]] = []
        #: By subscription: the matching partitions, and how many partitions existed when they were computed.
        self._matching: dict[tuple[str, ...], tuple[int, list[Partition]]] = {}
        #: Draws how long a broker takes to return a partition's first or last offset.
        self.lookup_delay_s: Callable[[], float] = lambda: 0.0
        #: How many of the newest records a stale leader lacks. It was deposed and doesn't know it.
        self.stale_by = 0
        #: Distance of the wall clock from virtual time: histories begin on 26 March 2026 in Japan.
        self.wall_clock_offset_s = 1_774_450_800.0

    def on_new_topic(self, listener: Callable[[str], None]) -> None:
        """Call the listener with the name of each new topic."""
        self._topic_listeners.append(listener)

    def create_topic(self, topic: str, partitions: int | None = None) -> None:
        """Create a topic unless it exists."""
        if topic not in self.topics:
            self.topics[topic] = partitions or self.partitions
            for number in range(self.topics[topic]):
                self.entries[topic, number] = []
                self._open[topic, number] = {}
            for listener in self._topic_listeners:
                listener(topic)

    def choose_partition(self, topic: str, record: LogEntry) -> Partition:
        """Return the partition of a record; number -1 means: by its key (a null key: partition 0)."""
        if topic not in self.topics:
            self.create_topic(topic)
        number = (
            record.topic_partition[1]
            if record.topic_partition[1] >= 0
            else _partition_of_key(record.key_bytes or b"", self.topics[topic])
        )
        return topic, number

    def append(self, topic: str, record: LogEntry, transaction: Transaction | None = None) -> LogEntry:
        """Write a record to its partition."""
        partition = self.choose_partition(topic, record)
        self.version += 1
        entries = self.entries[partition]
        timestamp_ms = record.timestamp_ms or int(1_000 * (self.wall_clock_offset_s + self.time.now_s))
        entry = LogEntry(partition, len(entries), record.key_bytes, record.value_bytes, timestamp_ms)
        entry.polled_version, entry.version = record.polled_version, self.version
        entries.append(entry)
        if transaction is not None:
            entry.transaction = transaction
            transaction.partitions[partition] = None
            self._open[partition].setdefault(transaction, entry.record_offset)
        return entry

    def append_marker(self, partition: Partition, transaction: Transaction) -> None:
        """End a transaction in one partition."""
        entry = LogEntry(partition, len(self.entries[partition]))
        entry.control, entry.transaction = True, transaction
        self.entries[partition].append(entry)
        self._open[partition].pop(transaction, None)
        self.version += 1

    def end_offset(self, partition: Partition) -> int:
        """Return the offset after the last record, committed or not."""
        return max(0, len(self.entries.get(partition, ())) - self.stale_by)

    def last_stable_offset(self, partition: Partition) -> int:
        """Return the offset up to which readers of committed records may read."""
        open_from = self._open.get(partition)
        end = self.end_offset(partition)
        return min(*open_from.values(), end) if open_from else end

    def read(
        self, partition: Partition, start: int, records_max: int, *, committed: bool
    ) -> tuple[list[LogEntry], int]:
        """Return records from an offset on, and the next position, which skips markers and aborted records."""
        end = self.last_stable_offset(partition) if committed else self.end_offset(partition)
        entries, records = self.entries.get(partition, []), list[LogEntry]()
        while start < end and len(records) < records_max:
            entry = entries[start]
            start += 1
            if entry.control or (committed and entry.aborted):
                continue
            if entry.transaction is not None and entry.transaction.state is not TransactionState.COMMITTED:
                self.uncommitted_reads.append(entry)
            records.append(entry)
        return records, start

    def committed(self, topic: str) -> list[LogEntry]:
        """Return a topic's committed records, partition after partition."""
        return [
            entry
            for number in range(self.topics.get(topic, 0))
            for entry in self.entries[topic, number]
            if not entry.control
            and (entry.transaction is None or entry.transaction.state is TransactionState.COMMITTED)
        ]

    def matching_partitions(self, inputs: Sequence[str]) -> list[Partition]:
        """Return the partitions of the topics named, or matched by an expression that begins with `^`."""
        subscription = tuple(inputs)
        partitions_then, matching = self._matching.get(subscription, (0, []))
        if partitions_then < len(self.entries):
            matching = [partition for partition in self.entries if _subscribed(partition[0], subscription)]
            self._matching[subscription] = len(self.entries), matching
        return matching


#: Cached, because topics are the same in every history.
_subscribed = cache(subscribed)
