"""Deliberate faults in the real code, of the kind that a developer might introduce: the simulation must find each.

Most replace private methods, because each changes one step inside a public one, which no public interface can express.
`seed` fails if the method doesn't exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from connectors.postgres import merge, table_rows
from connectors.postgres.applying import concat_batches
from connectors.postgres.outbox import Outbox
from connectors.postgres.sink import PostgresSink
from connectors.postgres.table_definitions import Table
from connectors.sink import SinkBatch
from processors.entities import entity_fold
from processors.fan_out import known_histories, person_entities, person_notices, row_history
from processors.fan_out import processor as fan_out_processor
from processors.fan_out.adoption import Adoption
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person import PersonAggregate
from processors.fan_out.waiting_rules import WaitingRules
from streams import kafka_clients
from streams.assignment import Assignment
from streams.barrier import ReadBarrier
from streams.clients import Message, Partition, ProducerRecords
from streams.dead_letter_router import DeadLetterRouter
from streams.global_table import GlobalTable, GlobalTables
from streams.kafka_errors import ErrorAction, error_action
from streams.restore import Restorer
from streams.transactions import Transactions
from streams.unassigned import UnassignedPartitionMonitor
from tests import wrong_rules
from tests.simulation.clients import SimConsumer
from tests.simulation.groups import MemberMetadata

#: No topic of the simulation has more partitions.
PARTITIONS_MAX: Final = 16
#: Sets an attribute of a class or module until the seeded fault is removed.
Seed = Callable[[Any, str, Any], None]


def _rule(owner: Any, attribute: str, wrong: Any) -> Callable[[Seed], None]:
    """Return the fault of a rule that is another one."""
    return lambda seed: seed(owner, attribute, wrong)


class _AnonymousConsumer:
    """A consumer that doesn't identify itself to the transaction coordinator."""

    def __init__(self, consumer: SimConsumer) -> None:
        self._group = consumer.consumer_group_metadata().group

    def consumer_group_metadata(self) -> MemberMetadata:
        """Return the group without generation, member and instance."""
        return MemberMetadata(self._group)


def _no_group_metadata(seed: Seed) -> None:
    real = Transactions.publish

    def publish(
        self: Transactions,
        outgoing: Sequence[ProducerRecords],
        next_offsets: Mapping[Partition, int],
        consumer: Any,
        metadata: str = "",
    ) -> None:
        anonymous: Any = _AnonymousConsumer(consumer)
        real(self, outgoing, next_offsets, anonymous, metadata)

    seed(Transactions, "publish", publish)


def _no_seek_after_abort(seed: Seed) -> None:
    def seek_to_committed(self: Assignment, partitions: Any) -> dict[Partition, int]:
        return self._barrier.committed_offsets(self._owned(partitions))

    seed(Assignment, "seek_to_committed", seek_to_committed)


def _producer_reused(seed: Seed) -> None:
    def replace(self: Transactions) -> None:
        with suppress(KafkaException):
            self._producer.abort_transaction(self._settings.commit_timeout_s)

    seed(Transactions, "replace", replace)


def _producer_reused_after_abort(seed: Seed) -> None:
    real = Transactions.recover

    def recover(self: Transactions, error: KafkaError) -> bool:
        if error_action(error) is ErrorAction.ABORT and self._aborted():
            return True
        return real(self, error)

    seed(Transactions, "recover", recover)


def _auto_commit(seed: Seed) -> None:
    real = kafka_clients.consumer_properties

    def properties(*arguments: Any) -> dict[str, Any]:
        return {**real(*arguments), "enable.auto.commit": True, "enable.auto.offset.store": True}

    seed(kafka_clients, "consumer_properties", properties)


def _offsets_after_rows(seed: Seed) -> None:
    def flush(self: PostgresSink) -> Mapping[int, int]:
        pending, self._pending = self._pending, []
        if pending:
            batch, positions = concat_batches(pending), self._positions
            next_offsets = positions | dict(batch.next_offsets)
            with _offsets_not_advanced(self):
                self._store.transaction(lambda connection: self._commit(connection, batch, next_offsets))
            self._store.transaction(
                lambda connection: self._offsets.advance(connection, positions, next_offsets)
            )
            self._positions = next_offsets
        return dict(self._positions)

    seed(PostgresSink, "flush", flush)


@contextmanager
def _offsets_not_advanced(sink: PostgresSink) -> Iterator[None]:
    sink._advance_offsets = lambda connection, next_offsets: True  # type: ignore[method-assign]
    try:
        yield
    finally:
        del sink._advance_offsets


def _uncommitted_state(seed: Seed) -> None:
    real = kafka_clients.reader_properties

    def properties(*arguments: Any) -> dict[str, Any]:
        return {**real(*arguments), "isolation.level": "read_uncommitted"}

    seed(kafka_clients, "reader_properties", properties)


def _revision_ignored(seed: Seed) -> None:
    seed(merge, "_UPSERT", merge._UPSERT.replace(" WHERE t.revision < excluded.revision", ""))
    seed(merge, "_DELETE", merge._DELETE.replace(" AND t.revision < s.revision", ""))


def _receipts_after_transaction(seed: Seed) -> None:
    add_receipts, flush = Outbox.add_receipts, PostgresSink.flush
    delayed: dict[int, list[Any]] = {}

    def delay(self: Outbox, connection: Any, receipts: Any) -> None:
        delayed[id(self)] = [receipts]

    def flush_then_add(self: PostgresSink) -> Mapping[int, int]:
        offsets = flush(self)
        for receipts in delayed.pop(id(self._outbox), []):
            self._store.transaction(
                lambda connection, added=receipts: add_receipts(self._outbox, connection, added)  # type: ignore[misc]
            )
        return offsets

    seed(Outbox, "add_receipts", delay)
    seed(PostgresSink, "flush", flush_then_add)


class _ConsumerFromEnd:
    """A consumer that reads newly assigned partitions from their end, whatever offset it is given."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Assign all of them at their end."""
        self._consumer.incremental_assign(
            [TopicPartition(partition.topic, partition.partition, OFFSET_END) for partition in partitions]
        )


def _assigned_at_end(seed: Seed) -> None:
    real = Assignment._on_assign

    def on_assign(self: Assignment, consumer: Any, partitions: list[TopicPartition]) -> None:
        real_consumer, self._consumer = self._consumer, _ConsumerFromEnd(self._consumer)
        try:
            real(self, consumer, partitions)
        finally:
            self._consumer = real_consumer

    seed(Assignment, "_on_assign", on_assign)


def _no_barrier_for_offsets(seed: Seed) -> None:
    seed(ReadBarrier, "committed_offsets", lambda self, partitions: self.stable_offsets(partitions))


def _no_barrier_for_changelogs(seed: Seed) -> None:
    def note_end(self: Restorer, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF and (number := message.partition()) in self._active:
            self._active[number].changelogs[message.topic() or "", number].complete = True

    seed(Restorer, "_note_end", note_end)


def _unassigned_unchecked(seed: Seed) -> None:
    seed(UnassignedPartitionMonitor, "poll", lambda self: None)


def _nothing_blocked(seed: Seed) -> None:
    seed(DeadLetterRouter, "block", lambda self, record, keys: False)


def _portion_forgotten_after_kill(seed: Seed) -> None:
    clock = wrong_rules.ForgetsAfterKill()

    def must_continue(self: PartitionClock) -> bool:
        return clock.must_continue(self)

    seed(PartitionClock, "must_continue", must_continue)


def _rows_without_histories(seed: Seed) -> None:
    def is_row_of(target: Table, table: pa.Table) -> Any:
        return pc.equal(table.column("entity"), target.entity)

    seed(table_rows, "_is_row_of", is_row_of)


def _table_read_at_start_only(seed: Seed) -> None:
    real = GlobalTables.current

    def current(self: GlobalTables) -> Mapping[str, GlobalTable]:
        return self._tables if self._reader is not None else real(self)

    seed(GlobalTables, "current", current)


def _withdrawals_behind_dead_letters(seed: Seed) -> None:
    real = PostgresSink._commit_withdrawals

    def commit(self: PostgresSink, connection: Any, batch: SinkBatch) -> None:
        if not self._dlq_table.dead_letters(connection, range(PARTITIONS_MAX)):
            real(self, connection, batch)

    seed(PostgresSink, "_commit_withdrawals", commit)


SEEDED: Final[Mapping[str, Callable[[Seed], None]]] = {
    "no group metadata": _no_group_metadata,
    "no seek after an abort": _no_seek_after_abort,
    "producer reused after a timeout": _producer_reused,
    "producer reused after an abort": _producer_reused_after_abort,
    "auto-commit on": _auto_commit,
    "offsets stored after instead of with the rows": _offsets_after_rows,
    "state restored with uncommitted reads": _uncommitted_state,
    "revision ignored": _revision_ignored,
    "receipts sent outside the transaction": _receipts_after_transaction,
    "an initializing partition assigned at its end": _assigned_at_end,
    "committed offsets read without a barrier": _no_barrier_for_offsets,
    "a changelog's end believed without a barrier token": _no_barrier_for_changelogs,
    "unassigned partitions not checked": _unassigned_unchecked,
    "records with a blocked ordering key processed": _nothing_blocked,
    "the registration received last is the confirmed one": _rule(
        person_notices, "choose_confirmed", wrong_rules.last_registration
    ),
    "a protection measure ended by any municipality": _rule(
        person_notices, "_end_protection", wrong_rules.end_any_protection
    ),
    "an event in effect before its day": _rule(person_entities, "rows_of", wrong_rules.rows_of_next_day),
    "a portion of the agenda without its last person": _rule(
        PartitionClock, "next_portion", wrong_rules.portion_without_last
    ),
    "a portion of the agenda forgotten after a kill": _portion_forgotten_after_kill,
    "days that were far away when planned": _rule(
        PartitionClock, "next_to_plan", wrong_rules.plan_no_later_days
    ),
    "a day that goes back": _rule(PartitionClock, "begin", wrong_rules.begin_any_day),
    "a person forgotten of whom a portion fails": _rule(
        FanOutOutputs, "add_clock_record", wrong_rules.no_records_of_persons
    ),
    "a notice ahead of its day in effect at once": _rule(
        fan_out_processor, "can_wait", wrong_rules.nothing_waits
    ),
    "what waits isn't on the agenda": _rule(WaitingRules, "_plan_release", wrong_rules.plan_nothing),
    "a protection measure that waits for its day": _rule(
        PersonAggregate, "_waiting_notices", wrong_rules.no_measures_ahead
    ),
    "a cancelled notice whose case still waits": _rule(
        PersonAggregate, "cancelled_while_waiting", wrong_rules.nothing_cancelled
    ),
    "changes of a notice that waited in the case of another record": _rule(
        FanOutOutputs, "row_of_earlier", wrong_rules.row_of_the_record
    ),
    "submissions in the order of arrival": _rule(
        known_histories, "fold", wrong_rules.fold_in_order_of_arrival
    ),
    "a cancelled submission still counted": _rule(entity_fold, "_not_cancelled", wrong_rules.with_cancelled),
    "a fact that expires on its last day": _rule(entity_fold, "expiries", wrong_rules.expire_on_last_day),
    "a late notice that changes no history": _rule(
        row_history, "history_differences", wrong_rules.no_late_histories
    ),
    "rows of persons that aren't written into their histories": _rows_without_histories,
    "every second portion of an adoption left out": _rule(
        Adoption, "next_portion", wrong_rules.every_second_portion
    ),
    "an adoption of earlier declarations continued": _rule(
        Adoption, "next_portion", wrong_rules.go_on_for_others
    ),
    "an adoption repeated": _rule(Adoption, "begin", wrong_rules.adopt_again),
    "an adoption stored as complete when it begins": _rule(Adoption, "begin", wrong_rules.adopted_at_once),
    "an adoption by a worker of before": _rule(Adoption, "_require", wrong_rules.adopt_whatever_the_number),
    "the first reason of a conflict kept": _rule(
        person_entities, "_conflicts", wrong_rules.with_first_reasons
    ),
    "a global table read at the start only": _table_read_at_start_only,
    "withdrawals that wait behind dead letters": _withdrawals_behind_dead_letters,
}


@contextmanager
def seeded(name: str) -> Iterator[None]:
    """Run the block with that seeded fault in the code."""
    replaced: list[tuple[Any, str, Any]] = []

    def seed(owner: Any, attribute: str, value: Any) -> None:
        replaced.append((owner, attribute, getattr(owner, attribute)))
        setattr(owner, attribute, value)

    SEEDED[name](seed)
    try:
        yield
    finally:
        for owner, attribute, value in reversed(replaced):
            setattr(owner, attribute, value)
