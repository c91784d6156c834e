"""A log as brokers keep it: transactions stand open on it, and what is aborted stays there with its marker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache

from confluent_kafka import KafkaError

from streams.clients import MessageBase, Partition, subscribed
from streams.testing.memory_log import partition_for
from tests.simulation.virtual_time import VirtualTime


class State(Enum):
    """Of a transaction, as the coordinator has decided it."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction: where it has records, and which groups have offsets with it."""

    slot: str
    state: State = State.OPEN
    partitions: dict[Partition, None] = field(default_factory=dict)
    #: Those that it has offsets for.
    groups: dict[str, None] = field(default_factory=dict)


class LogEntry(MessageBase):
    """A record (`streams.clients.Message`), a marker of a transaction, or what a client says of a partition."""

    __slots__ = (
        "control",
        "failure",
        "key_bytes",
        "record_offset",
        "timestamp_ms",
        "topic_partition",
        "transaction",
        "value_bytes",
    )

    def __init__(
        self,
        of: Partition,
        at: int,
        key: bytes | None = None,
        value: bytes | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        self.topic_partition, self.record_offset, self.timestamp_ms = of, at, timestamp_ms
        self.key_bytes, self.value_bytes = key, value
        self.transaction: Transaction | None = None
        self.control = False
        self.failure: KafkaError | None = None

    @property
    def aborted(self) -> bool:
        """Whether it never counted."""
        return self.transaction is not None and self.transaction.state is State.ABORTED


def end_of(partition: Partition, offset: int) -> LogEntry:
    """The client's word for the end of a partition."""
    entry = LogEntry(partition, offset)
    entry.failure = KafkaError(KafkaError._PARTITION_EOF)
    return entry


#: As Java's clients have it; keys come again and again.
where = cache(partition_for)


class Log:
    """Topics and their partitions. `read` notes what was handed out before its transaction was committed."""

    def __init__(self, time: VirtualTime, partitions: int) -> None:
        self.time, self.partitions = time, partitions
        self.topics: dict[str, int] = {}
        self.entries: dict[Partition, list[LogEntry]] = {}
        #: First offset of each open transaction.
        self._open: dict[Partition, dict[Transaction, int]] = {}
        #: Nothing can be written before that moment.
        self.full_until_s = 0.0
        self.uncommitted_reads: list[LogEntry] = []
        #: Grows with everything that a reader might get on by.
        self.version = 0
        self._watching: list[Callable[[str], None]] = []
        #: By inputs: of how many partitions, these match.
        self._matching: dict[tuple[str, ...], tuple[int, list[Partition]]] = {}
        #: How long a broker takes to tell where a partition begins or ends.
        self.look_up_s: Callable[[], float] = lambda: 0.0
        #: A leader that is deposed, and doesn't know it, lacks so many records of what it leads.
        self.deposed_by = 0
        #: A wall clock's distance from time as it passes.
        self.wall_s = 1_767_225_600.0

    def watch(self, told: Callable[[str], None]) -> None:
        """Calls with the name of each new topic."""
        self._watching.append(told)

    def create(self, topic: str, partitions: int | None = None) -> None:
        """Makes a topic where it isn't there."""
        if topic not in self.topics:
            self.topics[topic] = partitions or self.partitions
            for number in range(self.topics[topic]):
                self.entries[topic, number] = []
                self._open[topic, number] = {}
            for told in self._watching:
                told(topic)

    def place(self, topic: str, record: LogEntry) -> Partition:
        """The partition of a record; where it says -1, its key chooses (a null key: partition 0)."""
        if topic not in self.topics:
            self.create(topic)
        number = (
            record.topic_partition[1]
            if record.topic_partition[1] >= 0
            else where(record.key_bytes or b"", self.topics[topic])
        )
        return topic, number

    def append(self, topic: str, record: LogEntry, transaction: Transaction | None = None) -> LogEntry:
        """Writes a record to its partition."""
        of = self.place(topic, record)
        self.version += 1
        entries = self.entries[of]
        stamp = record.timestamp_ms or int(1_000 * (self.wall_s + self.time.now_s))
        entry = LogEntry(of, len(entries), record.key_bytes, record.value_bytes, stamp)
        entries.append(entry)
        if transaction is not None:
            entry.transaction = transaction
            transaction.partitions[of] = None
            self._open[of].setdefault(transaction, entry.record_offset)
        return entry

    def mark(self, of: Partition, transaction: Transaction) -> None:
        """Ends a transaction in one partition."""
        entry = LogEntry(of, len(self.entries[of]))
        entry.control, entry.transaction = True, transaction
        self.entries[of].append(entry)
        self._open[of].pop(transaction, None)
        self.version += 1

    def end(self, of: Partition) -> int:
        """The offset after the last record, of whatever transaction."""
        return max(0, len(self.entries.get(of, ())) - self.deposed_by)

    def stable_end(self, of: Partition) -> int:
        """The offset that readers of committed records get to."""
        still = self._open.get(of)
        return min(*still.values(), self.end(of)) if still else self.end(of)

    def read(self, of: Partition, start: int, most: int, *, committed: bool) -> tuple[list[LogEntry], int]:
        """Records from an offset on, and the offset to go on from: over markers, and over what is aborted."""
        end = self.stable_end(of) if committed else self.end(of)
        entries, found = self.entries.get(of, []), list[LogEntry]()
        while start < end and len(found) < most:
            entry = entries[start]
            start += 1
            if entry.control or (committed and entry.aborted):
                continue
            if entry.transaction is not None and entry.transaction.state is not State.COMMITTED:
                self.uncommitted_reads.append(entry)
            found.append(entry)
        return found, start

    def committed(self, topic: str) -> list[LogEntry]:
        """A topic's committed records, partition after partition."""
        return [
            entry
            for number in range(self.topics.get(topic, 0))
            for entry in self.entries[topic, number]
            if not entry.control and (entry.transaction is None or entry.transaction.state is State.COMMITTED)
        ]

    def matching(self, inputs: Sequence[str]) -> list[Partition]:
        """Partitions of topics that are named, or match an expression that begins with `^`."""
        asked = tuple(inputs)
        known, found = self._matching.get(asked, (0, []))
        if known < len(self.entries):
            found = [each for each in self.entries if _subscribed(each[0], asked)]
            self._matching[asked] = len(self.entries), found
        return found


#: Topics are the same from history to history.
_subscribed = cache(subscribed)
