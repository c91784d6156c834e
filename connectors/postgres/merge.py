"""Rows into a table: COPY into a temporary table, then one merge; the newer revision decides.

What is deleted is remembered by its revision, so that an older change that comes late doesn't bring it back.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, sql
from pyarrow import csv

from connectors.postgres.rows import OP, Rows
from connectors.postgres.tables import Table
from connectors.postgres.verdict import Verdict, described, verdict

_STAGE = """CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ({columns}) ON COMMIT DELETE ROWS"""
_COPY = """COPY {stage} ({columns}) FROM STDIN (FORMAT csv)"""
_UPSERT = """
INSERT INTO {table} AS t ({columns})
SELECT {columns} FROM {stage} AS s
WHERE s.op = 'UPSERT' AND NOT EXISTS (
    SELECT FROM {deleted} AS d
    WHERE d.entity = {entity} AND d.code = s.code AND d.part = {part} AND d.revision >= s.revision)
ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE t.revision < excluded.revision"""
_DELETE = """
DELETE FROM {table} AS t USING {stage} AS s WHERE s.op = 'DELETE' AND {same} AND t.revision < s.revision"""
_REMEMBER = """
INSERT INTO {deleted} AS d (entity, code, part, revision)
SELECT {entity}, s.code, {part}, s.revision FROM {stage} AS s WHERE s.op = 'DELETE'
ON CONFLICT (entity, code, part) DO UPDATE SET revision = excluded.revision WHERE d.revision < excluded.revision"""


class Refused(NamedTuple):
    """A record whose row the database refuses: its index, and SQLSTATE with the constraint's name."""

    record: int
    reason: str


class Merge:
    """The statements of one table."""

    def __init__(self, schema: str, table: Table) -> None:
        self._names = (OP, *table.columns)
        self._table = table
        self._parts = _parts(schema, table)

    def prepare(self, connection: Connection[Any]) -> None:
        """Makes the temporary table; once per connection."""
        connection.execute(self._sql(_STAGE, columns=_columns(_typed(self._table))))

    def clear(self, connection: Connection[Any]) -> None:
        """Empties the temporary table within a transaction."""
        connection.execute(self._sql("DELETE FROM {stage}"))

    def apply(self, connection: Connection[Any], rows: Rows) -> None:
        """Merges rows of distinct keys. psycopg.Error: the database refuses one of them, or is not well."""
        names = sql.SQL(", ").join(map(sql.Identifier, self._names))
        with connection.cursor() as cursor:
            with cursor.copy(self._sql(_COPY, columns=names)) as copy:
                copy.write(_csv(rows, self._names))
            cursor.execute(self._sql(_UPSERT))
            if rows.has_deletes:
                cursor.execute(self._sql(_DELETE))
                cursor.execute(self._sql(_REMEMBER))

    def _sql(self, template: Any, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(template).format(**(self._parts | more))


def merged(connection: Connection[Any], merge: Merge, rows: Rows, *, again: bool = False) -> list[Refused]:
    """Merges all rows of one table but those that the database refuses; says which, and why.

    Once per transaction (`again`: its temporary table has rows already). A refused row is found by halving. Where the
    newest revision of a key is refused, the one before it counts, as if they had come one after the other.
    """
    newest, rest = rows.newest()
    refused = _isolated(connection, merge, newest, again=again)
    before = [rest.same_keys(bad) for bad, _ in refused]
    found = [Refused(bad.records[0], reason) for bad, reason in refused]
    for older in before:
        if len(older):
            found += merged(connection, merge, older, again=True)
    return found


def _isolated(
    connection: Connection[Any], merge: Merge, rows: Rows, *, again: bool
) -> list[tuple[Rows, str]]:
    try:
        with connection.transaction():
            if again:
                merge.clear(connection)
            merge.apply(connection, rows)
    except psycopg.Error as error:
        if verdict(error) is not Verdict.REFUSED:
            raise
        if len(rows) == 1:
            return [(rows, described(error))]
    else:
        return []
    return [bad for half in rows.halves() for bad in _isolated(connection, merge, half, again=True)]


def _csv(rows: Rows, names: tuple[str, ...]) -> bytes:
    """Text is in quotation marks, null is nothing: as COPY reads it."""
    buffer = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(rows.data.select(names), buffer, options)
    return buffer.getvalue()


def _typed(table: Table) -> list[tuple[str, str]]:
    return [(OP, "text"), *((name, table.type_of(name)) for name in table.columns)]


def _columns(typed: list[tuple[str, str]]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in typed
    )


def _parts(schema: str, table: Table) -> dict[str, sql.Composable]:
    comma = sql.SQL(", ")
    return {
        "table": sql.Identifier(schema, table.name),
        "stage": sql.Identifier("pg_temp", f"stage_{table.name}"),
        "deleted": sql.Identifier(schema, "deleted_revision"),
        "entity": sql.Literal(table.entity),
        "part": sql.Identifier("s", table.part) if table.part else sql.Literal(""),
        "columns": comma.join(map(sql.Identifier, table.columns)),
        "key": comma.join(map(sql.Identifier, table.key)),
        "changes": comma.join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
            for name in table.columns
            if name not in table.key
        ),
        "same": sql.SQL(" AND ").join(
            sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in table.key
        ),
    }
