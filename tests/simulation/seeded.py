"""Faults seeded into the real code, as somebody might write them: the simulation must find each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from connectors.postgres import merge
from connectors.postgres.applying import concat_batches
from connectors.postgres.outbox import Outbox
from connectors.postgres.sink import PostgresSink
from streams import kafka_clients
from streams.assignment import Assignment
from streams.barrier import ReadBarrier
from streams.clients import Message, Partition
from streams.dead_letter_router import DeadLetterRouter
from streams.kafka_errors import ErrorAction, error_action
from streams.restore import Restorer
from streams.transactions import Transactions
from streams.unassigned import UnassignedPartitionMonitor
from tests.simulation.clients import SimConsumer
from tests.simulation.groups import Metadata

#: Sets an attribute of a class or module, until the fault is taken out again.
Seed = Callable[[Any, str, Any], None]


class _Nobody:
    """A consumer that doesn't say who it is."""

    def __init__(self, consumer: SimConsumer) -> None:
        self._group = consumer.consumer_group_metadata().group

    def consumer_group_metadata(self) -> Metadata:
        """Without generation, member and instance."""
        return Metadata(self._group)


def _no_group_metadata(seed: Seed) -> None:
    real = Transactions.commit

    def commit(
        self: Transactions, offsets: Mapping[Partition, int], consumer: Any, metadata: str = ""
    ) -> None:
        nobody: Any = _Nobody(consumer)
        real(self, offsets, nobody, metadata)

    seed(Transactions, "commit", commit)


def _no_rewind(seed: Seed) -> None:
    def rewind(self: Assignment, partitions: Any) -> dict[Partition, int]:
        return self._barrier.committed_offsets(self._owned(partitions))

    seed(Assignment, "seek_to_committed", rewind)


def _producer_kept(seed: Seed) -> None:
    def replace(self: Transactions) -> None:
        with suppress(KafkaException):
            self._producer.abort_transaction(self._settings.commit_timeout_s)

    seed(Transactions, "replace", replace)


def _producer_kept_after_abort(seed: Seed) -> None:
    real = Transactions.recover

    def recover(self: Transactions, error: KafkaError) -> bool:
        if error_action(error) is ErrorAction.ABORT and self._aborted():
            return True
        return real(self, error)

    seed(Transactions, "recover", recover)


def _auto_commit(seed: Seed) -> None:
    real = kafka_clients.consumer_properties

    def properties(*given: Any) -> dict[str, Any]:
        return {**real(*given), "enable.auto.commit": True, "enable.auto.offset.store": True}

    seed(kafka_clients, "consumer_properties", properties)


def _offsets_after(seed: Seed) -> None:
    def flush(self: PostgresSink) -> Mapping[int, int]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            whole, started = concat_batches(waiting), self._started
            wanted = started | dict(whole.wanted)
            with _as_if_advanced(self):
                self._store.transaction(lambda connection: self._commit(connection, whole, wanted))
            self._store.transaction(lambda connection: self._offsets.advance(connection, started, wanted))
            self._started = wanted
        return dict(self._started)

    seed(PostgresSink, "flush", flush)


@contextmanager
def _as_if_advanced(sink: PostgresSink) -> Iterator[None]:
    sink._advanced = lambda connection, wanted: True  # type: ignore[method-assign]
    try:
        yield
    finally:
        del sink._advanced


def _uncommitted_state(seed: Seed) -> None:
    real = kafka_clients.reader_properties

    def properties(*given: Any) -> dict[str, Any]:
        return {**real(*given), "isolation.level": "read_uncommitted"}

    seed(kafka_clients, "reader_properties", properties)


def _revision_ignored(seed: Seed) -> None:
    seed(merge, "_UPSERT", merge._UPSERT.replace(" WHERE t.revision < excluded.revision", ""))
    seed(merge, "_DELETE", merge._DELETE.replace(" AND t.revision < s.revision", ""))


def _receipts_apart(seed: Seed) -> None:
    add, flush = Outbox.add_receipts, PostgresSink.flush
    kept: dict[int, list[Any]] = {}

    def later(self: Outbox, connection: Any, receipts: Any) -> None:
        kept[id(self)] = [receipts]

    def flushed(self: PostgresSink) -> Mapping[int, int]:
        done = flush(self)
        for receipts in kept.pop(id(self._outbox), []):
            self._store.transaction(lambda connection, r=receipts: add(self._outbox, connection, r))  # type: ignore[misc]
        return done

    seed(Outbox, "add_receipts", later)
    seed(PostgresSink, "flush", flushed)


class _AtTheEnd:
    """A consumer that has those partitions looked up whose offset isn't known yet, rather than start at a number."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """All of them."""
        self._consumer.incremental_assign(
            [TopicPartition(each.topic, each.partition, OFFSET_END) for each in partitions]
        )


def _waiting_at_the_end(seed: Seed) -> None:
    real = Assignment._on_assign

    def on_assign(self: Assignment, consumer: Any, partitions: list[TopicPartition]) -> None:
        given, self._consumer = self._consumer, _AtTheEnd(self._consumer)
        try:
            real(self, consumer, partitions)
        finally:
            self._consumer = given

    seed(Assignment, "_on_assign", on_assign)


def _offsets_of_old(seed: Seed) -> None:
    seed(ReadBarrier, "committed_offsets", lambda self, partitions: self.stable_offsets(partitions))


def _ends_of_old(seed: Seed) -> None:
    def note(self: Restorer, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF and (number := message.partition()) in self._active:
            self._active[number].changelogs[message.topic() or "", number].complete = True

    seed(Restorer, "_note_end", note)


def _not_looked_after(seed: Seed) -> None:
    seed(UnassignedPartitionMonitor, "poll", lambda self: None)


def _another_s_sent(seed: Seed) -> None:
    seed(Assignment, "owns", lambda self, partitions: True)


def _nobody_waits(seed: Seed) -> None:
    seed(DeadLetterRouter, "block", lambda self, record, strands: False)


SEEDED: Final[Mapping[str, Callable[[Seed], None]]] = {
    "no group metadata": _no_group_metadata,
    "no rewind after abort": _no_rewind,
    "producer kept after a timeout": _producer_kept,
    "producer kept after an abort": _producer_kept_after_abort,
    "auto-commit on": _auto_commit,
    "offsets stored after instead of with the rows": _offsets_after,
    "state restored with uncommitted reads": _uncommitted_state,
    "revision ignored": _revision_ignored,
    "receipts sent outside the transaction": _receipts_apart,
    "a waiting partition assigned at the end": _waiting_at_the_end,
    "an offset believed whoever tells it": _offsets_of_old,
    "an end of a changelog believed": _ends_of_old,
    "a group that nobody looks after": _not_looked_after,
    "what was worked on ahead is sent whoever has it by then": _another_s_sent,
    "what waits behind a dead letter goes on": _nobody_waits,
}


@contextmanager
def seeded(name: str) -> Iterator[None]:
    """The code with that fault in it."""
    before: list[tuple[Any, str, Any]] = []

    def seed(owner: Any, attribute: str, value: Any) -> None:
        before.append((owner, attribute, getattr(owner, attribute)))
        setattr(owner, attribute, value)

    SEEDED[name](seed)
    try:
        yield
    finally:
        for owner, attribute, value in reversed(before):
            setattr(owner, attribute, value)
