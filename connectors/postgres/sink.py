"""The sink into a domain's PostgreSQL store; the contract is in `connectors.sink`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import structlog
from psycopg import Connection

from connectors.errors import NotOpenError, SinkFencedError
from connectors.postgres.applying import PendingBatch, applied, apply_batch, concat_batches, pending_batch
from connectors.postgres.dead_letter_builder import DeadLetterBuilder
from connectors.postgres.dlq_table import DlqRow, DlqTable
from connectors.postgres.encoding import rows_of
from connectors.postgres.merge import Merge, RejectedRow, merged
from connectors.postgres.offsets import Offsets
from connectors.postgres.outbox import Outbox, receipts_of
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.sink_command_handler import SinkCommandHandler, SinkParts
from connectors.postgres.store import Connect, StoreConnection
from connectors.postgres.table_definitions import tables_of
from connectors.sink import Record, SinkBatch
from schemas.systems import Domain
from schemas.topics import domain_topic, sink_step
from streams.command_handler import DeadLetterCommand
from streams.metrics import StepMetrics
from streams.sealing import Coding

log = structlog.get_logger()


class PostgresSink:
    """Applies a domain's records to its store. `dsn` is that of the role `sink_<schema>`, or makes connections."""

    def __init__(
        self,
        domain: Domain,
        dsn: str | Connect,
        coding: Coding,
        settings: PostgresSettings | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._domain, self._settings = domain, settings or PostgresSettings()
        self._step = sink_step(domain.id)
        self._merges = {table.entity: Merge(domain.schema_name, table) for table in tables_of(domain)}
        self._offsets = Offsets(domain.schema_name, domain_topic(domain.id))
        self._outbox, self._dlq_table = Outbox(domain.schema_name), DlqTable(domain.schema_name)
        self._letters = DeadLetterBuilder(self._step, coding, self._settings.letter_bytes_max)
        parts = SinkParts(self._dlq_table, self._outbox, self._letters, self._settle_again)
        self._command_handler = SinkCommandHandler(domain, coding, parts)
        self._store = StoreConnection(dsn, self._step, self._settings, self._prepare, pause)
        self._metrics = StepMetrics(self._step)
        self._started: dict[int, int] = {}
        self._open_dead_letters: frozenset[str] = frozenset()
        self._waiting: list[PendingBatch] = []

    @property
    def open_dead_letters(self) -> Collection[str]:
        """The names of the letters that are open in our partitions."""
        return self._open_dead_letters

    @property
    def store(self) -> StoreConnection:
        """The connection, for who has other business there in the same thread."""
        return self._store

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """The stored offsets of these partitions; errors as in `flush`, but for FencedError."""
        self._waiting = []
        self._started = self._store.transaction(lambda c: self._begin(c, partitions))
        return dict(self._started)

    def put(self, batch: SinkBatch) -> None:
        """Takes records; nothing is written before `flush`. NotOpenError for a partition that isn't open."""
        if not batch.next_offsets.keys() <= self._started.keys():
            raise NotOpenError(f"{self._step} has records of partitions that it has not opened")
        self._waiting.append(pending_batch(self._domain, batch))

    def flush(self) -> Mapping[int, int]:
        """One transaction: rows, dead letters, receipts and offsets; returns the offsets stored.

        FencedError, OverdueError, StoreUnavailableError (after the last attempt), StoreMisfitError: nothing was
        committed.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            whole = concat_batches(waiting)
            wanted = self._started | dict(whole.wanted)
            self._store.transaction(lambda c: self._commit(c, whole, wanted), divisible=True)
            self._started = wanted
        return dict(self._started)

    def affected_offsets(self, digest: str) -> Mapping[int, Sequence[int]]:
        """By partition of ours the offsets of the letters of this name, and of what is parked behind them."""
        found = self._store.transaction(
            lambda c: {number: self._dlq_table.concerned(c, number, digest) for number in self._started}
        )
        return {number: [entry.offset for entry in entries] for number, entries in found.items() if entries}

    def handle_command(self, act: DeadLetterCommand, partition: int, records: Mapping[int, Record]) -> None:
        """One transaction: the letters and what is parked behind them, as the act says; errors as in `flush`.

        `records` are those of `concerned` by their offset, without those that aren't there any more.
        """
        self._store.transaction(lambda c: self._handle_command(c, act, partition, records))

    def close(self) -> None:
        """Lets go of the connection."""
        self._waiting, self._started = [], {}
        self._store.close()

    def _prepare(self, connection: Connection[Any]) -> None:
        for merge in self._merges.values():
            merge.prepare(connection)

    def _begin(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        begun = self._offsets.load_or_create(connection, partitions)
        self._note(connection, partitions)
        return begun

    def _commit(self, connection: Connection[Any], waiting: PendingBatch, wanted: dict[int, int]) -> None:
        # 1. The offsets: whoever moves them has the partitions to himself until the transaction ends. They are
        #    already as wanted where an attempt was committed, but its answer lost.
        if not self._advanced(connection, wanted):
            return
        # 2. The rows: one merge per table. What the database refuses is set aside, and the later records of the same
        #    person with it.
        held = {
            ordering_key
            for ordering_key in self._dlq_table.dead_letters(connection, wanted).values()
            if ordering_key is not None
        }
        self._settle(connection, waiting, held, {})
        self._note(connection, wanted)
        # 3. All of it becomes visible when the transaction is committed, or nothing of it.

    def _handle_command(
        self,
        connection: Connection[Any],
        act: DeadLetterCommand,
        partition: int,
        records: Mapping[int, Record],
    ) -> None:
        self._offsets.lock(connection, partition, self._started[partition])
        self._command_handler.do(connection, act, partition, records)
        self._note(connection, self._started)

    def _note(self, connection: Connection[Any], partitions: Collection[int]) -> None:
        """What is set aside now, for who asks and for the metrics."""
        self._open_dead_letters = frozenset(self._dlq_table.dead_letters(connection, partitions))
        parked = self._dlq_table.parked(connection, partitions) if self._open_dead_letters else 0
        self._metrics.dead_letter_queue([(len(self._open_dead_letters), parked)])

    def _settle_again(
        self, connection: Connection[Any], waiting: PendingBatch, known: Mapping[int, DlqRow]
    ) -> set[int]:
        return self._settle(connection, waiting, (), known)

    def _settle(
        self,
        connection: Connection[Any],
        waiting: PendingBatch,
        held: Collection[str],
        known: Mapping[int, DlqRow],
    ) -> set[int]:
        """Rows, letters, what is parked, receipts; the records (by index) that were set aside as letters."""
        found = apply_batch(connection, waiting, held, lambda *rows: self._merged(connection, *rows))
        aside = self._letters.aside(waiting, found, known)
        self._dlq_table.add(connection, aside.entries)
        self._outbox.add_letters(connection, self._letters.outgoing(aside.dead))
        self._outbox.add_receipts(connection, receipts_of(self._domain, applied(waiting, found)))
        return aside.letters

    def _advanced(self, connection: Connection[Any], wanted: dict[int, int]) -> bool:
        try:
            return self._offsets.advance(connection, self._started, wanted)
        except SinkFencedError:
            log.warning("sink.fenced", step=self._step, partitions=sorted(wanted))
            raise

    def _merged(self, connection: Connection[Any], table: pa.Table, numbers: pa.Array) -> list[RejectedRow]:
        found: list[RejectedRow] = []
        for rows in rows_of(self._domain, table, numbers):
            found += merged(connection, self._merges[rows.table.entity], rows)
        return found
