"""An observer of the stores during a run: no row may go back, and rows must be stored together with their offsets.

A snapshot of a store has the rows that changed since the last one, the deleted rows, and the offsets that the sink
stored with them. Snapshots are kept and compared with the topics at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from connectors.postgres.merge import second_key
from connectors.postgres.table_definitions import Table, tables_of
from infra.environment import Environment
from infra.local.postgres_server import SUPERUSER
from schemas.systems import Domain
from schemas.topics import domain_topic
from tests.chaos.watch import connect
from tests.standard_level import STANDARD_DOMAINS

INTERVAL_S: Final = 0.15
STOP_TIMEOUT_S: Final = 20.0

_CHANGED: Final = """SELECT code, {second_key}, revision FROM {table} AS t WHERE xmin::text::bigint >= %s"""
_DELETED: Final = """SELECT entity, code, second_key, revision FROM {table} WHERE xmin::text::bigint >= %s"""
#: Withdrawals have offsets of their own in the table.
_OFFSETS: Final = "SELECT partition, next_offset FROM {table} WHERE topic = %s"
_HORIZON: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class RowKey(NamedTuple):
    """The key of a row of a store; `second_key` tells the rows of one person apart, as in table `deleted_revision`."""

    domain: str
    entity: str
    code: str
    second_key: str


class StoreSnapshot(NamedTuple):
    """One snapshot of one store: new revisions by row since the last snapshot, and the stored offsets by partition."""

    domain: str
    revisions: Mapping[RowKey, int]
    offsets: Mapping[int, int]


@dataclass
class ObservedStore:
    """The last observed revisions of one store, and the anomalies seen in it. Pure."""

    domain: str
    live: dict[str, dict[RowKey, int]] = field(default_factory=dict)
    deleted: dict[RowKey, int] = field(default_factory=dict)
    anomalies: list[str] = field(default_factory=list)

    def observe(
        self, rows: Mapping[RowKey, int], deleted: Mapping[RowKey, int], counts: Mapping[str, int]
    ) -> dict[RowKey, int]:
        """Return the rows with a new revision, after comparing a snapshot with the earlier ones.

        `rows` and `deleted` are revisions of rows that may have changed since the last snapshot, `counts` the number of
        rows by entity now.
        """
        for key, revision in deleted.items():
            self._observe_deleted(key, revision)
        changed = {key: revision for key, revision in rows.items() if self._observe_row(key, revision)}
        for entity, count in counts.items():
            known = len(self.live.get(entity, ()))
            if known != count:
                self.anomalies.append(f"{self.domain}: {count} rows of {entity}, expected {known}")
        return changed

    def _observe_deleted(self, key: RowKey, revision: int) -> None:
        before = self.deleted.get(key, 0)
        if revision < before:
            self.anomalies.append(
                f"{self.domain}: revision of a deleted row went back from {before} to {revision}"
            )
        self.deleted[key] = revision
        live = self.live.get(key.entity, {})
        if live.get(key, 0) < revision:
            live.pop(key, None)

    def _observe_row(self, key: RowKey, revision: int) -> bool:
        live = self.live.setdefault(key.entity, {})
        before = live.get(key, 0)
        if revision < max(before, self.deleted.get(key, 0)):
            self.anomalies.append(f"{self.domain}: a row of {key.entity} went back to revision {revision}")
        live[key] = revision
        return revision != before


@dataclass
class StoreWatch:
    """Takes snapshots of every store, in a thread and over a connection of its own.

    `snapshots` are those that changed something; `rounds` counts the passes over all stores.
    """

    environment: Environment
    snapshots: list[StoreSnapshot] = field(default_factory=list)
    rounds: int = 0
    _observed: dict[str, ObservedStore] = field(default_factory=dict)
    _horizon: dict[str, int] = field(default_factory=dict)
    _offsets: dict[str, dict[int, int]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def anomalies(self) -> list[str]:
        """Descriptions of rows that went back or disappeared."""
        return [anomaly for store in self._observed.values() for anomaly in store.anomalies]

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="stores", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current snapshot."""
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.wait(INTERVAL_S):
            try:
                connection = connection or connect(self.environment.dsn(SUPERUSER))
                for domain in STANDARD_DOMAINS.values():
                    self._take_snapshot(connection, domain)
                self.rounds += 1
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _take_snapshot(self, connection: psycopg.Connection[Any], domain: Domain) -> None:
        since = self._horizon.get(domain.id, 0)
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            (horizon,) = _integers(connection, sql.SQL(_HORIZON))
            rows: dict[RowKey, int] = {}
            counts: dict[str, int] = {}
            for table in tables_of(domain):
                rows.update(_changed_rows(connection, domain, table, since))
                (counts[table.entity],) = _integers(
                    connection, _query("SELECT count(*) FROM {table}", domain, table.name)
                )
            deleted = _deleted_rows(connection, domain, since)
            query = _query(_OFFSETS, domain, "sink_offset")
            offsets = dict(connection.execute(query, [domain_topic(domain.id)]).fetchall())
        self._horizon[domain.id] = horizon
        store = self._observed.setdefault(domain.id, ObservedStore(domain.id))
        changed = store.observe(rows, deleted, counts)
        if changed or offsets != self._offsets.get(domain.id):
            self.snapshots.append(StoreSnapshot(domain.id, changed, offsets))
        self._offsets[domain.id] = offsets


def _changed_rows(
    connection: psycopg.Connection[Any], domain: Domain, table: Table, since: int
) -> dict[RowKey, int]:
    query = sql.SQL(_CHANGED).format(
        second_key=second_key(table, "t"), table=sql.Identifier(domain.schema_name, table.name)
    )
    return {
        RowKey(domain.id, table.entity, code, value): revision
        for code, value, revision in connection.execute(query, [since]).fetchall()
    }


def _deleted_rows(connection: psycopg.Connection[Any], domain: Domain, since: int) -> dict[RowKey, int]:
    rows = connection.execute(_query(_DELETED, domain, "deleted_revision"), [since]).fetchall()
    return {RowKey(domain.id, *key): revision for *key, revision in rows}


def _query(text: Any, domain: Domain, table: str) -> sql.Composed:
    return sql.SQL(text).format(table=sql.Identifier(domain.schema_name, table))


def _integers(connection: psycopg.Connection[Any], query: sql.SQL | sql.Composed) -> Sequence[int]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise RuntimeError("the query returned no row")
    return [int(value) for value in row]
