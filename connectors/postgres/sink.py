"""The sink into a domain's PostgreSQL store; the contract is in `connectors.sink`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from psycopg import Connection

from connectors.errors import FencedError, NotOpenError
from connectors.postgres.merge import Merge, Refused, merged
from connectors.postgres.offsets import Offsets
from connectors.postgres.outbox import Outbox, receipts_of
from connectors.postgres.rows import faults, rows_of
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.store import Store
from connectors.postgres.tables import tables_of
from connectors.sink import Record, SinkBatch
from schemas.codec import Codec
from schemas.systems import Domain
from schemas.topics import domain_topic, sink_step
from streams.dead_letters import DeadLetter, outgoing

log = structlog.get_logger()


@dataclass(frozen=True)
class _Waiting:
    """What was put and not flushed: rows that are changes, the index of each one's record, and what is none."""

    table: pa.Table
    indices: pa.Array
    records: list[Record]
    lost: list[Refused]
    wanted: dict[int, int]


class PostgresSink:
    """Applies a domain's records to its store. `dsn` is that of the role `sink_<schema>`."""

    def __init__(
        self,
        domain: Domain,
        dsn: str,
        codec: Codec,
        settings: PostgresSettings | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._domain, self._codec = domain, codec
        self._settings = settings or PostgresSettings()
        self._step = sink_step(domain.id)
        self._merges = {table.entity: Merge(domain.schema_name, table) for table in tables_of(domain)}
        self._offsets = Offsets(domain.schema_name, domain_topic(domain.id))
        self._outbox = Outbox(domain.schema_name)
        self._store = Store(dsn, self._step, self._settings, self._prepare, pause)
        self._started: dict[int, int] = {}
        self._waiting: list[_Waiting] = []

    @property
    def store(self) -> Store:
        """The connection, for who has other business there in the same thread."""
        return self._store

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """The stored offsets of these partitions; errors as in `flush`, but for FencedError."""
        self._waiting = []
        self._started = self._store.transaction(lambda c: self._offsets.begun(c, partitions))
        return dict(self._started)

    def put(self, batch: SinkBatch) -> None:
        """Takes records; nothing is written before `flush`. NotOpenError for a partition that isn't open."""
        if not batch.next_offsets.keys() <= self._started.keys():
            raise NotOpenError(f"{self._step} has records of partitions that it has not opened")
        self._waiting.append(_checked(self._domain, batch))

    def flush(self) -> Mapping[int, int]:
        """One transaction: rows, dead letters, receipts and offsets; returns the offsets stored.

        FencedError, StoreUnavailableError (after the last attempt), StoreMisfitError: nothing was committed.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            whole = _together(waiting)
            wanted = self._started | whole.wanted
            self._store.transaction(lambda connection: self._commit(connection, whole, wanted))
            self._started = wanted
        return dict(self._started)

    def close(self) -> None:
        """Lets go of the connection."""
        self._waiting, self._started = [], {}
        self._store.close()

    def _prepare(self, connection: Connection[Any]) -> None:
        for merge in self._merges.values():
            merge.prepare(connection)

    def _commit(self, connection: Connection[Any], waiting: _Waiting, wanted: dict[int, int]) -> None:
        # 1. The offsets: whoever moves them has the partitions to himself until the transaction ends. They are
        #    already as wanted where an attempt was committed, but its answer lost.
        if not self._advanced(connection, wanted):
            return
        # 2. The rows: one merge per table; what the database refuses is set aside.
        refused = [*waiting.lost, *self._merged(connection, waiting)]
        # 3. Dead letters: what was refused, as it came.
        self._outbox.add_letters(connection, self._letters(waiting, refused))
        # 4. Receipts of all the others.
        self._outbox.add_receipts(connection, receipts_of(self._domain, _without(waiting, refused)))
        # 5. All of it becomes visible when the transaction is committed, or nothing of it.

    def _advanced(self, connection: Connection[Any], wanted: dict[int, int]) -> bool:
        try:
            return self._offsets.advance(connection, self._started, wanted)
        except FencedError:
            log.warning("sink.fenced", step=self._step, partitions=sorted(wanted))
            raise

    def _merged(self, connection: Connection[Any], waiting: _Waiting) -> list[Refused]:
        found: list[Refused] = []
        for rows in rows_of(self._domain, waiting.table, waiting.indices):
            found += merged(connection, self._merges[rows.table.entity], rows)
        return found

    def _letters(self, waiting: _Waiting, refused: list[Refused]) -> Any:
        for each in refused:
            log.warning("record.refused", step=self._step, reason=each.reason)
        letters = [DeadLetter(waiting.records[each.record], each.reason) for each in refused]  # type: ignore[arg-type]
        return outgoing(self._step, letters, self._codec, self._settings.letter_bytes_max)


def _checked(domain: Domain, batch: SinkBatch) -> _Waiting:
    fault = faults(domain, batch.table)
    good = pc.is_null(fault)
    kept = pa.array(batch.kept, pa.int64())
    bad = kept.filter(pc.invert(good).combine_chunks()).to_pylist()
    lost = [Refused(each.index, each.reason) for each in batch.faults]
    lost += [Refused(index, why) for index, why in zip(bad, fault.drop_null().to_pylist(), strict=True)]
    table, indices = (
        (batch.table, kept)
        if not bad
        else (
            batch.table.filter(good),
            kept.filter(good.combine_chunks()),
        )
    )
    return _Waiting(table, indices, list(batch.records), lost, dict(batch.next_offsets))


def _together(waiting: list[_Waiting]) -> _Waiting:
    """All that was put, one after the other."""
    if len(waiting) == 1:
        return waiting[0]
    records: list[Record] = []
    lost: list[Refused] = []
    indices: list[pa.Array] = []
    wanted: dict[int, int] = {}
    for each in waiting:
        base = len(records)
        indices.append(pc.add(each.indices, base))
        lost += [Refused(refused.record + base, refused.reason) for refused in each.lost]
        records += each.records
        wanted |= each.wanted
    table = pa.concat_tables([each.table for each in waiting])
    return _Waiting(table, pa.concat_arrays(indices), records, lost, wanted)


def _without(waiting: _Waiting, refused: list[Refused]) -> pa.Table:
    if not refused:
        return waiting.table
    bad = pa.array([each.record for each in refused], pa.int64())
    return waiting.table.filter(pc.invert(pc.is_in(waiting.indices, value_set=bad)))
