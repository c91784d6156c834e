"""The sink into a domain's PostgreSQL store; the contract is in `connectors.sink`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import structlog
from psycopg import Connection

from connectors.errors import NotOpenError, SinkFencedError
from connectors.postgres.applying import (
    PendingBatch,
    applied_rows,
    apply_batch,
    concat_batches,
    pending_batch,
)
from connectors.postgres.dead_letter_builder import DeadLetterBuilder
from connectors.postgres.dlq_table import DlqRow, DlqTable
from connectors.postgres.merge import RejectedRow, TableMerge, merge_rows
from connectors.postgres.offsets import Offsets
from connectors.postgres.outbox import Outbox, receipts_of
from connectors.postgres.sink_command_handler import SinkCommandHandler, SinkParts
from connectors.postgres.store import ConnectionFactory, PostgresSettings, StoreConnection
from connectors.postgres.table_definitions import tables_of
from connectors.postgres.table_rows import rows_of
from connectors.postgres.withdrawal_table import WithdrawalTable
from connectors.sink import Record, SinkBatch
from schemas.systems import Domain
from schemas.topics import domain_topic, sink_step, withdrawal_topic
from streams.command_handler import DeadLetterCommand
from streams.metrics import StepMetrics
from streams.sealing import Coding

log = structlog.get_logger()


class PostgresSink:
    """A sink into a domain's store. `dsn` is the conninfo of role `sink_<schema>`, or a factory of connections.

    `pause` waits between two attempts at a transaction; if it returns True, there is no further attempt.
    """

    def __init__(
        self,
        domain: Domain,
        dsn: str | ConnectionFactory,
        coding: Coding,
        settings: PostgresSettings | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._domain, self._settings = domain, settings or PostgresSettings()
        self._step = sink_step(domain.id)
        self._merges = {table.entity: TableMerge(domain.schema_name, table) for table in tables_of(domain)}
        self._offsets = Offsets(domain.schema_name, domain_topic(domain.id))
        self._withdrawal_offsets = Offsets(domain.schema_name, withdrawal_topic(domain.id))
        self._withdrawals = WithdrawalTable(domain)
        self._outbox, self._dlq_table = Outbox(domain.schema_name), DlqTable(domain.schema_name)
        self._dead_letter_builder = DeadLetterBuilder(
            self._step, coding, self._settings.dead_letter_bytes_max
        )
        parts = SinkParts(self._dlq_table, self._outbox, self._dead_letter_builder, self._apply_command_batch)
        self._command_handler = SinkCommandHandler(domain, coding, parts)
        self._store = StoreConnection(dsn, self._step, self._settings, self._prepare, pause)
        self._metrics = StepMetrics(self._step)
        #: The stored offsets of the open partitions, as this sink knows them.
        self._positions: dict[int, int] = {}
        self._open_dead_letters: frozenset[str] = frozenset()
        self._pending: list[PendingBatch] = []

    @property
    def open_dead_letters(self) -> Collection[str]:
        """The ids of the open dead letters in the open partitions, as of the last transaction."""
        return self._open_dead_letters

    @property
    def store(self) -> StoreConnection:
        """The connection, for other work on the store in the same thread."""
        return self._store

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Take over these partitions and return their stored offsets. Errors as in `flush`, except SinkFencedError."""
        self._pending = []
        self._positions = self._store.transaction(lambda c: self._load_positions(c, partitions))
        return dict(self._positions)

    def put(self, batch: SinkBatch) -> None:
        """Accept records; nothing is written before `flush`. Raise NotOpenError for a partition that is not open."""
        if not batch.next_offsets.keys() <= self._positions.keys():
            raise NotOpenError(f"{self._step} received records of partitions that are not open")
        self._pending.append(pending_batch(self._domain, batch))

    def flush(self) -> Mapping[int, int]:
        """Commit rows, dead letters, receipts and offsets in one transaction, and return the stored offsets.

        Raise SinkFencedError, TransactionTimeoutError, StoreUnavailableError (after the last attempt) or
        StoreSchemaError; then nothing was committed.
        """
        batches, self._pending = self._pending, []
        if batches:
            batch = concat_batches(batches)
            next_offsets = self._positions | dict(batch.next_offsets)
            self._store.transaction(lambda c: self._commit(c, batch, next_offsets), divisible=True)
            self._positions = next_offsets
        return dict(self._positions)

    def affected_offsets(self, dead_letter_id: str) -> Mapping[int, Sequence[int]]:
        """Return the offsets, by partition, of the dead letters with this id and of the records blocked behind them."""
        rows_by_partition = self._store.transaction(
            lambda c: {
                number: self._dlq_table.affected_rows(c, number, dead_letter_id) for number in self._positions
            }
        )
        return {number: [row.offset for row in rows] for number, rows in rows_by_partition.items() if rows}

    def handle_command(
        self, command: DeadLetterCommand, partition: int, records: Mapping[int, Record]
    ) -> None:
        """Handle a command in one transaction; errors as in `flush`.

        `records` are those that `affected_offsets` names, by offset, without those that no longer exist.
        """
        self._store.transaction(lambda c: self._commit_command(c, command, partition, records))

    def withdrawal_offsets(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the stored offsets of these partitions of `withdrawal.<domain>`; errors as in `open`."""
        return self._store.transaction(lambda c: self._withdrawal_offsets.load_or_create(c, partitions))

    def withdraw(self, batch: SinkBatch) -> None:
        """Take the addresses out of all rows in one transaction, with the offsets; errors as in `open`."""
        self._store.transaction(lambda c: self._commit_withdrawals(c, batch))

    def close(self) -> None:
        """Close the connection. What was put and not flushed has no effect."""
        self._pending, self._positions = [], {}
        self._store.close()

    def _prepare(self, connection: Connection[Any]) -> None:
        for merge in self._merges.values():
            merge.prepare(connection)

    def _load_positions(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        positions = self._offsets.load_or_create(connection, partitions)
        self._update_dlq_status(connection, partitions)
        return positions

    def _commit(self, connection: Connection[Any], batch: PendingBatch, next_offsets: dict[int, int]) -> None:
        # 1. The offsets first: the transaction that advances them has the partitions locked until it ends. They are
        #    advanced already if an earlier attempt was committed and only its answer was lost.
        if not self._advance_offsets(connection, next_offsets):
            return
        self._withdrawals.lock_for_rows(connection)
        # 2. The rows: one merge per table. A row that the database rejects becomes a dead letter, and later records of
        #    the same person are blocked behind it.
        blocked_keys = {
            ordering_key
            for ordering_key in self._dlq_table.dead_letters(connection, next_offsets).values()
            if ordering_key is not None
        }
        self._apply(connection, batch, blocked_keys, {})
        self._update_dlq_status(connection, next_offsets)
        # 3. Everything becomes visible with the commit of the transaction, or nothing of it.

    def _commit_command(
        self,
        connection: Connection[Any],
        command: DeadLetterCommand,
        partition: int,
        records: Mapping[int, Record],
    ) -> None:
        self._offsets.lock(connection, partition, self._positions[partition])
        self._withdrawals.lock_for_rows(connection)
        self._command_handler.handle(connection, command, partition, records)
        self._update_dlq_status(connection, self._positions)

    def _commit_withdrawals(self, connection: Connection[Any], batch: SinkBatch) -> None:
        codes, revisions = (batch.table.column(name).to_pylist() for name in ("code", "revision"))
        self._withdrawals.withdraw(connection, codes, revisions)
        self._withdrawal_offsets.raise_to(connection, batch.next_offsets)

    def _update_dlq_status(self, connection: Connection[Any], partitions: Collection[int]) -> None:
        """Read the open dead letters of these partitions, and report the size of the queue as metrics."""
        self._open_dead_letters = frozenset(self._dlq_table.dead_letters(connection, partitions))
        blocked = self._dlq_table.count_blocked(connection, partitions) if self._open_dead_letters else 0
        self._metrics.dead_letter_queue([(len(self._open_dead_letters), blocked)])

    def _apply_command_batch(
        self, connection: Connection[Any], batch: PendingBatch, known: Mapping[int, DlqRow]
    ) -> set[int]:
        # The command handler has removed these records from the queue, so nothing blocks their ordering keys.
        return self._apply(connection, batch, (), known)

    def _apply(
        self,
        connection: Connection[Any],
        batch: PendingBatch,
        blocked_keys: Collection[str],
        known: Mapping[int, DlqRow],
    ) -> set[int]:
        """Write rows, dead letters, blocked records and receipts.

        Return the indices of the records that became dead letters. `known` are rows of the dead-letter queue
        by record index: a record that was a dead letter before keeps its id if it becomes one again.
        """
        result = apply_batch(
            connection, batch, blocked_keys, lambda *rows: self._merge_tables(connection, *rows)
        )
        rejected = self._dead_letter_builder.build(batch, result, known)
        self._dlq_table.add(connection, rejected.dlq_rows)
        encoded = self._dead_letter_builder.encode(rejected.dead_letters)
        self._outbox.add_dead_letters(connection, encoded)
        if self._domain.has_receipts:
            self._outbox.add_receipts(connection, receipts_of(self._domain, applied_rows(batch, result)))
        return rejected.record_indices

    def _advance_offsets(self, connection: Connection[Any], next_offsets: dict[int, int]) -> bool:
        try:
            return self._offsets.advance(connection, self._positions, next_offsets)
        except SinkFencedError:
            log.warning("sink.fenced", step=self._step, partitions=sorted(next_offsets))
            raise

    def _merge_tables(
        self, connection: Connection[Any], table: pa.Table, row_indices: pa.Array
    ) -> list[RejectedRow]:
        rejected: list[RejectedRow] = []
        for rows in rows_of(self._domain, table, row_indices):
            rejected += merge_rows(connection, self._merges[rows.table.entity], rows)
        return rejected
