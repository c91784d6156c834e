"""The sink into a domain's PostgreSQL store; the contract is in `connectors.sink`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import structlog
from psycopg import Connection

from connectors.errors import FencedError, NotOpenError
from connectors.postgres.acting import Acting, Parts
from connectors.postgres.letters import Letters
from connectors.postgres.merge import Merge, Refused, merged
from connectors.postgres.offsets import Offsets
from connectors.postgres.outbox import Outbox, receipts_of
from connectors.postgres.parking import Entry, Parking
from connectors.postgres.rows import rows_of
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.settling import Waiting, applied, settled, together, waiting_of
from connectors.postgres.store import Connect, Store
from connectors.postgres.tables import tables_of
from connectors.sink import Record, SinkBatch
from schemas.systems import Domain
from schemas.topics import domain_topic, sink_step
from streams.acting import Act
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
        self._outbox, self._parking = Outbox(domain.schema_name), Parking(domain.schema_name)
        self._letters = Letters(self._step, coding, self._settings.letter_bytes_max)
        parts = Parts(self._parking, self._outbox, self._letters, self._settle_again)
        self._acting = Acting(domain, coding, parts)
        self._store = Store(dsn, self._step, self._settings, self._prepare, pause)
        self._metrics = StepMetrics(self._step)
        self._started: dict[int, int] = {}
        self._open_letters: frozenset[str] = frozenset()
        self._waiting: list[Waiting] = []

    @property
    def letters(self) -> Collection[str]:
        """The names of the letters that are open in our partitions."""
        return self._open_letters

    @property
    def store(self) -> Store:
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
        self._waiting.append(waiting_of(self._domain, batch))

    def flush(self) -> Mapping[int, int]:
        """One transaction: rows, dead letters, receipts and offsets; returns the offsets stored.

        FencedError, OverdueError, StoreUnavailableError (after the last attempt), StoreMisfitError: nothing was
        committed.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            whole = together(waiting)
            wanted = self._started | dict(whole.wanted)
            self._store.transaction(lambda c: self._commit(c, whole, wanted), divisible=True)
            self._started = wanted
        return dict(self._started)

    def concerned(self, digest: str) -> Mapping[int, Sequence[int]]:
        """By partition of ours the offsets of the letters of this name, and of what is parked behind them."""
        found = self._store.transaction(
            lambda c: {number: self._parking.concerned(c, number, digest) for number in self._started}
        )
        return {number: [entry.offset for entry in entries] for number, entries in found.items() if entries}

    def act(self, act: Act, partition: int, records: Mapping[int, Record]) -> None:
        """One transaction: the letters and what is parked behind them, as the act says; errors as in `flush`.

        `records` are those of `concerned` by their offset, without those that aren't there any more.
        """
        self._store.transaction(lambda c: self._act(c, act, partition, records))

    def close(self) -> None:
        """Lets go of the connection."""
        self._waiting, self._started = [], {}
        self._store.close()

    def _prepare(self, connection: Connection[Any]) -> None:
        for merge in self._merges.values():
            merge.prepare(connection)

    def _begin(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        begun = self._offsets.begun(connection, partitions)
        self._note(connection, partitions)
        return begun

    def _commit(self, connection: Connection[Any], waiting: Waiting, wanted: dict[int, int]) -> None:
        # 1. The offsets: whoever moves them has the partitions to himself until the transaction ends. They are
        #    already as wanted where an attempt was committed, but its answer lost.
        if not self._advanced(connection, wanted):
            return
        # 2. The rows: one merge per table. What the database refuses is set aside, and the later records of the same
        #    person with it.
        held = {strand for strand in self._parking.letters(connection, wanted).values() if strand is not None}
        self._settle(connection, waiting, held, {})
        self._note(connection, wanted)
        # 3. All of it becomes visible when the transaction is committed, or nothing of it.

    def _act(
        self, connection: Connection[Any], act: Act, partition: int, records: Mapping[int, Record]
    ) -> None:
        self._offsets.hold(connection, partition, self._started[partition])
        self._acting.do(connection, act, partition, records)
        self._note(connection, self._started)

    def _note(self, connection: Connection[Any], partitions: Collection[int]) -> None:
        """What is set aside now, for who asks and for the metrics."""
        self._open_letters = frozenset(self._parking.letters(connection, partitions))
        parked = self._parking.parked(connection, partitions) if self._open_letters else 0
        self._metrics.set_aside([(len(self._open_letters), parked)])

    def _settle_again(
        self, connection: Connection[Any], waiting: Waiting, known: Mapping[int, Entry]
    ) -> set[int]:
        return self._settle(connection, waiting, (), known)

    def _settle(
        self,
        connection: Connection[Any],
        waiting: Waiting,
        held: Collection[str],
        known: Mapping[int, Entry],
    ) -> set[int]:
        """Rows, letters, what is parked, receipts; the records (by index) that were set aside as letters."""
        found = settled(connection, waiting, held, lambda *rows: self._merged(connection, *rows))
        aside = self._letters.aside(waiting, found, known)
        self._parking.add(connection, aside.entries)
        self._outbox.add_letters(connection, self._letters.outgoing(aside.dead))
        self._outbox.add_receipts(connection, receipts_of(self._domain, applied(waiting, found)))
        return aside.letters

    def _advanced(self, connection: Connection[Any], wanted: dict[int, int]) -> bool:
        try:
            return self._offsets.advance(connection, self._started, wanted)
        except FencedError:
            log.warning("sink.fenced", step=self._step, partitions=sorted(wanted))
            raise

    def _merged(self, connection: Connection[Any], table: pa.Table, numbers: pa.Array) -> list[Refused]:
        found: list[Refused] = []
        for rows in rows_of(self._domain, table, numbers):
            found += merged(connection, self._merges[rows.table.entity], rows)
        return found
