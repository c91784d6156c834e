"""Rows into a table: COPY into a temporary table, then one merge; the newer revision decides.

What is deleted is remembered by its revision, so that an older change that comes late doesn't bring it back.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection, sql
from pyarrow import csv

from connectors.postgres.encoding import OP, Rows
from connectors.postgres.sql_errors import SqlErrorAction, safe_description, sql_error_action
from connectors.postgres.table_definitions import Table

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

_CONSTRAINTS = """
SELECT c.conname,
    CASE c.contype WHEN 'c' THEN pg_get_expr(c.conbin, c.conrelid) ELSE format('%%I IS NOT NULL', a.attname) END
FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.conrelid = %s::regclass AND c.contype IN ('c', 'n') AND NOT EXISTS (
    SELECT FROM unnest(c.conkey) AS k JOIN pg_attribute AS o ON o.attrelid = c.conrelid AND o.attnum = k
    WHERE o.attname <> ALL (%s))
ORDER BY c.conname"""
#: Not null, check.
_CONSTRAINT_STATES: Final = frozenset({"23502", "23514"})
#: Rows that are copied at once even where every other one is refused.
_PART_MIN: Final = 32
_LINE: Final = re.compile(r"line (\d+)")


class RejectedRow(NamedTuple):
    """A record whose row the database refuses: its index, and SQLSTATE with the constraint's name."""

    record: int
    reason: str


class Merge:
    """The statements of one table.

    The temporary table that rows are copied into has the table's own constraints, so that a bad row is told by its
    line while it is copied; what only the table itself refuses (a trigger, an index) is found by halving.
    """

    def __init__(self, schema: str, table: Table) -> None:
        self._names = (OP, *table.columns)
        self._table = table
        self._name = sql.Identifier(schema, table.name).as_string()
        self._parts = _parts(schema, table)

    def prepare(self, connection: Connection[Any]) -> None:
        """Makes the temporary table; once per connection."""
        found = connection.execute(_CONSTRAINTS, [self._name, list(self._table.columns)]).fetchall()
        checks = [
            sql.SQL("CONSTRAINT {} CHECK (op <> 'UPSERT' OR ({}))").format(
                sql.Identifier(name), sql.SQL(rule)
            )
            for name, rule in found
        ]
        columns = sql.SQL(", ").join([_columns(_typed(self._table)), *checks])
        connection.execute(self._sql(_STAGE, columns=columns))

    def renew(self, connection: Connection[Any]) -> None:
        """Makes it anew, with the constraints that the table has by now."""
        connection.execute(self._sql("DROP TABLE {stage}"))
        self.prepare(connection)

    def clear(self, connection: Connection[Any]) -> None:
        """Empties the temporary table within a transaction."""
        connection.execute(self._sql("DELETE FROM {stage}"))

    def stage(self, connection: Connection[Any], rows: Rows) -> None:
        """Copies rows into the temporary table. psycopg.Error: one of them is refused, or the database is not well."""
        names = sql.SQL(", ").join(map(sql.Identifier, self._names))
        # Made beforehand: none of the server's time-outs ends a session that waits for what is to be copied.
        text = _csv(rows, self._names)
        with connection.cursor() as cursor, cursor.copy(self._sql(_COPY, columns=names)) as copy:
            copy.write(text)

    def apply(self, connection: Connection[Any], rows: Rows) -> None:
        """Merges what is staged, rows of distinct keys. psycopg.Error as in `stage`."""
        connection.execute(self._sql(_UPSERT))
        if rows.has_deletes:
            connection.execute(self._sql(_DELETE))
            connection.execute(self._sql(_REMEMBER))

    def _sql(self, template: Any, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(template).format(**(self._parts | more))


def merged(connection: Connection[Any], merge: Merge, rows: Rows) -> list[RejectedRow]:
    """Merges all rows of one table but those that the database refuses; says which, and why.

    Of several rows of a key the newest is merged. The others are held against the constraints too; where one of a key
    is refused, the caller has to leave it out and begin again, if another of that key is to count.
    """
    newest, rest = rows.newest()
    found: list[RejectedRow] = []
    if len(rest):
        found += staged(connection, merge, rest)[1]
        merge.clear(connection)
    good, bad = staged(connection, merge, newest)
    found += bad
    if not len(good):
        return found
    error = _refusal(connection, lambda: merge.apply(connection, good))
    if error is None:
        return found
    if error.sqlstate in _CONSTRAINT_STATES:
        # A constraint that is newer than this connection: from now on it is looked at beforehand.
        merge.renew(connection)
        good, bad = staged(connection, merge, good, renewed=True)
        found += bad
    else:
        merge.clear(connection)
    return found + bisect_rows(connection, merge, good)


def staged(
    connection: Connection[Any], merge: Merge, rows: Rows, *, renewed: bool = False
) -> tuple[Rows, list[RejectedRow]]:
    """Stages all rows but those refused by their line; the rows staged, and the refused ones.

    The rows before a bad one are copied again, those behind it for the first time: a bad row costs no more than a
    copy of its part. Where there are many, parts get smaller. Before a row is refused by a constraint the temporary
    table is renewed: the table may have been freed of it.
    """
    bad: list[RejectedRow] = []
    good: list[Rows] = []
    todo = [rows] if len(rows) else []
    while todo:
        part = todo.pop()
        most = max(_PART_MIN, len(rows) >> (len(bad) // 2))
        if len(part) > most:
            todo.append(part.slice(most, len(part)))
            part = part.slice(0, most)
        error = _refusal(connection, lambda part=part: merge.stage(connection, part))  # type: ignore[misc]
        if error is None:
            good.append(part)
        elif error.sqlstate in _CONSTRAINT_STATES and not renewed:
            merge.renew(connection)
            bad, good, todo, renewed = [], [], [rows], True
        else:
            at = _bad_line(error, part)
            bad += [RejectedRow(part.records[at], safe_description(error))] if at is not None else []
            todo += [each for each in _around(part, at) if len(each)]
    return (good[0] if len(good) == 1 else rows.joined(good)), bad


def bisect_rows(connection: Connection[Any], merge: Merge, rows: Rows) -> list[RejectedRow]:
    """Merges rows by halves, down to those that are refused."""
    if not len(rows):
        return []

    def whole() -> None:
        merge.clear(connection)
        merge.stage(connection, rows)
        merge.apply(connection, rows)

    error = _refusal(connection, whole)
    if error is None:
        return []
    if len(rows) == 1:
        return [RejectedRow(rows.records[0], safe_description(error))]
    return [bad for half in rows.halves() for bad in bisect_rows(connection, merge, half)]


def _refusal(connection: Connection[Any], work: Callable[[], None]) -> psycopg.Error | None:
    """The error by which the database refuses rows of this work, which then never happened; None: it is done."""
    try:
        with connection.transaction():
            work()
    except psycopg.Error as error:
        if sql_error_action(error) is not SqlErrorAction.REJECTED:
            raise
        return error
    return None


def _bad_line(error: psycopg.Error, rows: Rows) -> int | None:
    """Which row it is, where the error tells; lines are rows but where a value has a line break."""
    if len(rows) == 1:
        return 0
    told = _LINE.search(error.diag.context or "")
    line = int(told[1]) if told else 0
    return line - 1 if 0 < line <= len(rows) and not rows.has_line_breaks else None


def _around(rows: Rows, bad: int | None) -> list[Rows]:
    """What is still to be staged, last first: around a bad row, or by halves where it isn't known."""
    if bad is None:
        return list(reversed(rows.halves()))
    return [rows.slice(bad + 1, len(rows)), rows.slice(0, bad)]


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
