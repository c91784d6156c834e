"""A reader that watches the stores all the while: no row may ever go back, and rows stand with their offsets.

Each look is one snapshot of a store: the rows that changed since the last one, the deleted ones, and the offsets that
the sink has stored with them. What is seen is kept, and held against the topics in the end.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from connectors.postgres.table_definitions import Table, tables_of
from infra.environment import Environment
from infra.local.postgres_server import SUPERUSER
from schemas.systems import DOMAINS, Domain
from tests.chaos.watch import connected

EVERY_S: Final = 0.15

_CHANGED: Final = """SELECT code, {part}, revision FROM {table} WHERE xmin::text::bigint >= %s"""
_DELETED: Final = """SELECT entity, code, part, revision FROM {table} WHERE xmin::text::bigint >= %s"""
_OFFSETS: Final = "SELECT partition, next_offset FROM {table}"
_HORIZON: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class RowKey(NamedTuple):
    """A row of a store; `part` is the second column of its key, empty where it has none."""

    domain: str
    entity: str
    code: str
    part: str


class StoreSnapshot(NamedTuple):
    """One snapshot of one store: revisions of rows that changed since the last, and the offsets stored by then."""

    domain: str
    revisions: Mapping[RowKey, int]
    offsets: Mapping[int, int]


@dataclass
class Seen:
    """One store as it was seen last, and what was wrong with it. Pure."""

    domain: str
    live: dict[str, dict[RowKey, int]] = field(default_factory=dict)
    gone: dict[RowKey, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def note(
        self, rows: Mapping[RowKey, int], deleted: Mapping[RowKey, int], counts: Mapping[str, int]
    ) -> dict[RowKey, int]:
        """What changed since the last look, and how many rows of each entity there are now; gives what is new."""
        for key, revision in deleted.items():
            self._deleted(key, revision)
        fresh = {key: revision for key, revision in rows.items() if self._set(key, revision)}
        for entity, count in counts.items():
            known = len(self.live.get(entity, ()))
            if known != count:
                self.wrong.append(f"{self.domain}: {count} rows of {entity}, where {known} were seen")
        return fresh

    def _deleted(self, key: RowKey, revision: int) -> None:
        before = self.gone.get(key, 0)
        if revision < before:
            self.wrong.append(f"{self.domain}: a deleted row's revision went from {before} to {revision}")
        self.gone[key] = revision
        live = self.live.get(key.entity, {})
        if live.get(key, 0) < revision:
            live.pop(key, None)

    def _set(self, key: RowKey, revision: int) -> bool:
        live = self.live.setdefault(key.entity, {})
        before = live.get(key, 0)
        if revision < max(before, self.gone.get(key, 0)):
            self.wrong.append(f"{self.domain}: a row of {key.entity} went back to revision {revision}")
        live[key] = revision
        return revision != before


@dataclass
class StoreWatch:
    """One thread, one connection; `looks` that changed something, `wrong` what was wrong at once."""

    environment: Environment
    looks: list[StoreSnapshot] = field(default_factory=list)
    count: int = 0
    _seen: dict[str, Seen] = field(default_factory=dict)
    _horizon: dict[str, int] = field(default_factory=dict)
    _offsets: dict[str, dict[int, int]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def wrong(self) -> list[str]:
        """What was seen to go back, or to vanish."""
        return [each for seen in self._seen.values() for each in seen.wrong]

    def start(self) -> None:
        """Looks from now on."""
        self._thread = threading.Thread(target=self._run, name="stores", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends after the look at hand."""
        self._stop.set()
        if self._thread:
            self._thread.join(20)

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.wait(EVERY_S):
            try:
                connection = connection or connected(self.environment.dsn(SUPERUSER))
                for domain in DOMAINS.values():
                    self._look(connection, domain)
                self.count += 1
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _look(self, connection: psycopg.Connection[Any], domain: Domain) -> None:
        since = self._horizon.get(domain.id, 0)
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            (horizon,) = _one(connection, sql.SQL(_HORIZON))
            rows: dict[RowKey, int] = {}
            counts: dict[str, int] = {}
            for table in tables_of(domain):
                rows.update(_changed(connection, domain, table, since))
                (counts[table.entity],) = _one(
                    connection, _q("SELECT count(*) FROM {table}", domain, table.name)
                )
            deleted = _deleted(connection, domain, since)
            offsets = dict(connection.execute(_q(_OFFSETS, domain, "sink_offset")).fetchall())
        self._horizon[domain.id] = horizon
        fresh = self._seen.setdefault(domain.id, Seen(domain.id)).note(rows, deleted, counts)
        if fresh or offsets != self._offsets.get(domain.id):
            self.looks.append(StoreSnapshot(domain.id, fresh, offsets))
        self._offsets[domain.id] = offsets


def _changed(
    connection: psycopg.Connection[Any], domain: Domain, table: Table, since: int
) -> dict[RowKey, int]:
    part = sql.Identifier(table.part) if table.part else sql.Literal("")
    query = sql.SQL(_CHANGED).format(part=part, table=sql.Identifier(domain.schema_name, table.name))
    return {
        RowKey(domain.id, table.entity, code, found): revision
        for code, found, revision in connection.execute(query, [since]).fetchall()
    }


def _deleted(connection: psycopg.Connection[Any], domain: Domain, since: int) -> dict[RowKey, int]:
    found = connection.execute(_q(_DELETED, domain, "deleted_revision"), [since]).fetchall()
    return {RowKey(domain.id, *key): revision for *key, revision in found}


def _q(text: Any, domain: Domain, name: str) -> sql.Composed:
    return sql.SQL(text).format(table=sql.Identifier(domain.schema_name, name))


def _one(connection: psycopg.Connection[Any], query: sql.SQL | sql.Composed) -> Sequence[int]:
    found = connection.execute(query).fetchone()
    if found is None:
        raise RuntimeError("a query without a row")
    return [int(each) for each in found]
