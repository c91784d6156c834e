"""The transaction coordinator: epochs, timeouts, and the markers that end a transaction, at once or late.

It treats clients as brokers treat librdkafka's, which have no epoch per transaction (KIP-890 part 2): a late request
of a producer with the current epoch applies to whatever transaction is open when it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import Partition
from tests.simulation.groups import GroupCoordinator, MemberMetadata, StoredOffset
from tests.simulation.log import Log, LogEntry, Transaction, TransactionState


@dataclass
class TransactionalId:
    """The coordinator's state of one transactional id."""

    epoch: int = -1
    #: The transaction that is open or being ended.
    current: Transaction | None = None
    #: Partitions and groups that the end of the current transaction has not reached yet.
    pending_markers: int = 0
    #: How the previous transaction of this epoch ended.
    last_end: TransactionState | None = None
    #: By epoch and partition, the sequence number of the last record written.
    sequence_numbers: dict[tuple[int, Partition], int] = field(default_factory=dict)


class BusyError(Exception):
    """The previous transaction is still being ended, or the disk is full: clients retry by themselves."""


class NoAnswerError(Exception):
    """A produce request took effect, and its connection broke before the answer: the client sends it again."""


def kafka_exception(
    code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaException:
    """Return the exception that a client raises for an error code."""
    return KafkaException(KafkaError(code, fatal=fatal, retriable=retriable, txn_requires_abort=abort))


class TransactionCoordinator:
    """The coordinator of all transactional ids. Each method is one request as it arrives."""

    def __init__(self, log: Log, groups: GroupCoordinator) -> None:
        self._log, self._groups = log, groups
        self._ids: dict[str, TransactionalId] = {}
        #: By transactional id: delayed requests, and before how many later ones each arrives.
        self._delayed_requests: dict[str, list[tuple[int, Callable[[], None]]]] = {}
        #: Draws the delay of each marker in seconds.
        self.marker_delay_s: Callable[[], float] = lambda: 0.0

    def init_producer(self, name: str) -> int:
        """Return a new epoch; fence the previous producer and abort its open transaction. Raise BusyError."""
        state = self._ids.setdefault(name, TransactionalId())
        self._check_writable()
        if state.pending_markers:
            raise BusyError
        if state.current is not None:
            state.epoch += 1
            self._end(state, TransactionState.ABORTED)
            if state.pending_markers:
                raise BusyError
        state.epoch += 1
        state.last_end = None
        return state.epoch

    def produce(
        self,
        name: str,
        epoch: int,
        timeout_s: float,
        records: Sequence[tuple[str, LogEntry]],
        sequence_numbers: Sequence[int] | None = None,
    ) -> None:
        """Add records to the open transaction, or open one.

        With the sequence numbers that an idempotent producer assigns per partition, a record whose number was written
        before is a duplicate and is not written again.
        """
        state = self._checked(name, epoch)
        transaction = self._open_transaction(name, state, timeout_s)
        for index, (topic, record) in enumerate(records):
            partition = self._log.choose_partition(topic, record)
            if sequence_numbers is not None:
                if sequence_numbers[index] <= state.sequence_numbers.get((epoch, partition), -1):
                    transaction.partitions[partition] = None
                    continue
                state.sequence_numbers[epoch, partition] = sequence_numbers[index]
            self._log.append(topic, record, transaction)

    def choose_partition(self, topic: str, record: LogEntry) -> Partition:
        """Return the partition that a client chooses for a record."""
        return self._log.choose_partition(topic, record)

    def add_offsets(
        self, name: str, epoch: int, timeout_s: float, member: MemberMetadata, positions: list[TopicPartition]
    ) -> None:
        """Add offsets to the transaction. Raise KafkaException if the member's generation is over."""
        state = self._checked(name, epoch)
        transaction = self._open_transaction(name, state, timeout_s)
        self._groups.check_member(member)
        offsets = {
            (position.topic, position.partition): StoredOffset(position.offset, position.metadata or "")
            for position in positions
        }
        transaction.groups[member.group] = None
        self._groups.add_pending_offsets(member.group, transaction, offsets)

    def end(self, name: str, epoch: int, end: TransactionState) -> None:
        """Commit or abort the open transaction. A repeated request succeeds if the transaction ended the same way."""
        state = self._checked(name, epoch)
        if state.current is None:
            if state.last_end is not end:
                raise kafka_exception(KafkaError.INVALID_TXN_STATE, fatal=True)
            return
        self._end(state, end)

    def bump_epoch(self, name: str, epoch: int) -> int:
        """Return a new epoch for a producer whose records were lost on the way, so that they can't arrive later."""
        state = self._checked(name, epoch)
        state.epoch += 1
        return state.epoch

    def delay_request(self, name: str, later_requests: int, send: Callable[[], None]) -> None:
        """Let a request arrive after that many later requests of the same transactional id."""
        self._delayed_requests.setdefault(name, []).append((later_requests, send))

    def _checked(self, name: str, epoch: int) -> TransactionalId:
        self._deliver_delayed(name)
        state = self._ids.setdefault(name, TransactionalId())
        self._check_writable()
        if state.epoch != epoch:
            raise kafka_exception(KafkaError._FENCED, fatal=True)
        if state.pending_markers:
            raise BusyError
        return state

    def _deliver_delayed(self, name: str) -> None:
        for later_requests, send in self._delayed_requests.pop(name, []):
            if later_requests:
                self._delayed_requests.setdefault(name, []).append((later_requests - 1, send))
            else:
                send()

    def _check_writable(self) -> None:
        if self._log.time.now_s < self._log.disk_full_until_s:
            raise BusyError

    def _open_transaction(self, name: str, state: TransactionalId, timeout_s: float) -> Transaction:
        if state.current is None:
            state.current = Transaction(name)
            self._log.time.after(timeout_s, partial(self._expire, name, state.current))
        return state.current

    def _expire(self, name: str, transaction: Transaction) -> None:
        """Abort a transaction that is still open after its timeout, and fence its producer."""
        state = self._ids[name]
        if state.current is transaction and transaction.state is TransactionState.OPEN:
            state.epoch += 1
            self._end(state, TransactionState.ABORTED)

    def _end(self, state: TransactionalId, end: TransactionState) -> None:
        """Decide the end now, and deliver it to each partition and group when its marker arrives."""
        transaction = state.current
        if transaction is None:
            return
        transaction.state = state.last_end = end
        transaction.ended_version = self._log.version
        deliveries: list[Callable[[], None]] = [
            partial(self._end_in_partition, state, partition, transaction)
            for partition in transaction.partitions
        ]
        deliveries += [partial(self._end_in_group, state, group, transaction) for group in transaction.groups]
        state.pending_markers = len(deliveries)
        if not deliveries:
            state.current = None
        for deliver in deliveries:
            if delay_s := self.marker_delay_s():
                self._log.time.after(delay_s, deliver)
            else:
                deliver()

    def _end_in_partition(
        self, state: TransactionalId, partition: Partition, transaction: Transaction
    ) -> None:
        self._log.append_marker(partition, transaction)
        self._count_marker(state)

    def _end_in_group(self, state: TransactionalId, group: str, transaction: Transaction) -> None:
        self._groups.end_transaction(group, transaction)
        self._count_marker(state)

    def _count_marker(self, state: TransactionalId) -> None:
        state.pending_markers -= 1
        if not state.pending_markers:
            state.current = None
