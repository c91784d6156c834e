"""The coordinator of transactions: epochs, time-outs, and the markers that end a transaction, at once or late.

As brokers have it for librdkafka's clients (no epoch per transaction, KIP-890 part 2): what comes late from a producer
of the epoch in force hits whatever transaction is open then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import Partition
from tests.simulation.groups import Committed, Groups, Metadata
from tests.simulation.log import Log, LogEntry, State, Transaction


@dataclass
class TransactionalId:
    """A transactional id."""

    epoch: int = -1
    #: What is open, or is being ended.
    current: Transaction | None = None
    #: Partitions and groups that have not been told of the end yet.
    untold: int = 0
    #: How the one before ended, in this epoch.
    last: State | None = None
    #: By epoch and partition, the number of the last record that was written.
    numbers: dict[tuple[int, Partition], int] = field(default_factory=dict)


class BusyError(Exception):
    """The transaction before is still being ended, or the disk is full: clients ask again by themselves."""


class NoAnswerError(Exception):
    """A request of a producer's took place, and its connection broke before the answer: the client asks again."""


def refusal(
    code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaException:
    """What a client raises."""
    return KafkaException(KafkaError(code, fatal=fatal, retriable=retriable, txn_requires_abort=abort))


class Coordinator:
    """Of all transactional ids. Each method is one request as it arrives."""

    def __init__(self, log: Log, groups: Groups) -> None:
        self._log, self._groups = log, groups
        self._slots: dict[str, TransactionalId] = {}
        #: Requests on their way that arrive just before a later one of the same producer's, by its number.
        self._behind: dict[str, list[tuple[int, Callable[[], None]]]] = {}
        #: Says for each marker how late it comes, seconds.
        self.late: Callable[[], float] = lambda: 0.0

    def init(self, name: str) -> int:
        """A new epoch: whoever had the one before is fenced, and what it left open aborted. BusyError."""
        slot = self._slots.setdefault(name, TransactionalId())
        self._writable()
        if slot.untold:
            raise BusyError
        if slot.current is not None:
            slot.epoch += 1
            self._end(name, slot, State.ABORTED)
            if slot.untold:
                raise BusyError
        slot.epoch += 1
        slot.last = None
        return slot.epoch

    def produce(
        self,
        name: str,
        epoch: int,
        timeout_s: float,
        records: Sequence[tuple[str, LogEntry]],
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Adds records to the transaction that is open, or opens one.

        With the numbers that an idempotent producer gives them in each partition: what has one that was written before
        is taken for a copy, and not written again.
        """
        slot = self._valid(name, epoch)
        transaction = self._opened(name, slot, timeout_s)
        for index, (topic, record) in enumerate(records):
            of = self._log.place(topic, record)
            if numbers is not None:
                if numbers[index] <= slot.numbers.get((epoch, of), -1):
                    transaction.partitions[of] = None
                    continue
                slot.numbers[epoch, of] = numbers[index]
            self._log.append(topic, record, transaction)

    def place(self, topic: str, record: LogEntry) -> Partition:
        """The partition that a client finds for a record."""
        return self._log.place(topic, record)

    def add_offsets(
        self, name: str, epoch: int, timeout_s: float, of: Metadata, positions: list[TopicPartition]
    ) -> None:
        """Offsets that come with the transaction; refused where the group has moved on."""
        slot = self._valid(name, epoch)
        transaction = self._opened(name, slot, timeout_s)
        self._groups.check(of)
        wanted = {
            (each.topic, each.partition): Committed(each.offset, each.metadata or "") for each in positions
        }
        transaction.groups[of.group] = None
        self._groups.hold(of.group, transaction, wanted)

    def end(self, name: str, epoch: int, state: State) -> None:
        """Commits or aborts what is open. The same answer again, where that has been done."""
        slot = self._valid(name, epoch)
        if slot.current is None:
            if slot.last is not state:
                raise refusal(KafkaError.INVALID_TXN_STATE, fatal=True)
            return
        self._end(name, slot, state)

    def bump(self, name: str, epoch: int) -> int:
        """A new epoch for a producer some of whose records never arrived: they can't any more."""
        slot = self._valid(name, epoch)
        slot.epoch += 1
        return slot.epoch

    def overtaken(self, name: str, by: int, arrives: Callable[[], None]) -> None:
        """A request that arrives when so many later ones of the same transactional id have."""
        self._behind.setdefault(name, []).append((by, arrives))

    @property
    def open(self) -> list[Transaction]:
        """What isn't ended everywhere."""
        return [slot.current for slot in self._slots.values() if slot.current is not None]

    def _valid(self, name: str, epoch: int) -> TransactionalId:
        self._late_ones(name)
        slot = self._slots.setdefault(name, TransactionalId())
        self._writable()
        if slot.epoch != epoch:
            raise refusal(KafkaError._FENCED, fatal=True)
        if slot.untold:
            raise BusyError
        return slot

    def _late_ones(self, name: str) -> None:
        for by, arrives in self._behind.pop(name, []):
            if by:
                self._behind.setdefault(name, []).append((by - 1, arrives))
            else:
                arrives()

    def _writable(self) -> None:
        if self._log.time.now_s < self._log.full_until_s:
            raise BusyError

    def _opened(self, name: str, slot: TransactionalId, timeout_s: float) -> Transaction:
        if slot.current is None:
            slot.current = Transaction(name)
            self._log.time.after(timeout_s, partial(self._expire, name, slot.current))
        return slot.current

    def _expire(self, name: str, transaction: Transaction) -> None:
        """Open for too long: aborted, and its producer fenced."""
        slot = self._slots[name]
        if slot.current is transaction and transaction.state is State.OPEN:
            slot.epoch += 1
            self._end(name, slot, State.ABORTED)

    def _end(self, name: str, slot: TransactionalId, state: State) -> None:
        """Decided now; each partition and group hears of it when its marker comes."""
        transaction = slot.current
        if transaction is None:
            return
        transaction.state = slot.last = state
        told: list[Callable[[], None]] = [
            partial(self._marked, slot, each, transaction) for each in transaction.partitions
        ]
        told += [partial(self._settled, slot, group, transaction) for group in transaction.groups]
        slot.untold = len(told)
        if not told:
            slot.current = None
        for each in told:
            if late_s := self.late():
                self._log.time.after(late_s, each)
            else:
                each()

    def _marked(self, slot: TransactionalId, of: Partition, transaction: Transaction) -> None:
        self._log.mark(of, transaction)
        self._told(slot)

    def _settled(self, slot: TransactionalId, group: str, transaction: Transaction) -> None:
        self._groups.settle(group, transaction)
        self._told(slot)

    def _told(self, slot: TransactionalId) -> None:
        slot.untold -= 1
        if not slot.untold:
            slot.current = None
