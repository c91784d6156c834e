"""Merge of rows into a table: COPY into a temporary table, then one merge in which the newer revision wins.

A deletion leaves its revision in `deleted_revision`, so an older change that arrives later does not restore the row.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection, sql
from pyarrow import csv

from connectors.postgres.sql_errors import SqlErrorAction, safe_description, sql_error_action
from connectors.postgres.table_definitions import Table
from connectors.postgres.table_rows import OP, TableRows
from connectors.postgres.withdrawal_table import TABLE as WITHDRAWAL_TABLE
from connectors.postgres.withdrawal_table import withholding

_STAGE = """CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ({columns}) ON COMMIT DELETE ROWS"""
_COPY = """COPY {stage} ({columns}) FROM STDIN (FORMAT csv)"""
#: No row of a code shows a place up to the revision of its withdrawal.
_WITHHOLD = """
UPDATE {stage} AS s SET {withheld} FROM {withdrawal} AS w
WHERE w.code = s.code AND w.revision >= s.revision AND ({shown})"""
_UPSERT = """
INSERT INTO {table} AS t ({columns})
SELECT {columns} FROM {stage} AS s
WHERE s.op = 'UPSERT' AND NOT EXISTS (
    SELECT FROM {deleted} AS d
    WHERE d.entity = {entity} AND d.code = s.code AND d.second_key = {second_key} AND d.revision >= s.revision)
ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE t.revision < excluded.revision"""
_DELETE = """
DELETE FROM {table} AS t USING {stage} AS s WHERE s.op = 'DELETE' AND {same_key} AND t.revision < s.revision"""
_STORE_DELETED = """
INSERT INTO {deleted} AS d (entity, code, second_key, revision)
SELECT {entity}, s.code, {second_key}, s.revision FROM {stage} AS s WHERE s.op = 'DELETE'
ON CONFLICT (entity, code, second_key) DO UPDATE SET revision = excluded.revision
WHERE d.revision < excluded.revision"""

_CONSTRAINTS = """
SELECT c.conname,
    CASE c.contype WHEN 'c' THEN pg_get_expr(c.conbin, c.conrelid) ELSE format('%%I IS NOT NULL', a.attname) END
FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.conrelid = %s::regclass AND c.contype IN ('c', 'n') AND NOT EXISTS (
    SELECT FROM unnest(c.conkey) AS k JOIN pg_attribute AS o ON o.attrelid = c.conrelid AND o.attnum = k
    WHERE o.attname <> ALL (%s))
ORDER BY c.conname"""
#: SQLSTATE of a violated not-null and check constraint.
_CONSTRAINT_STATES: Final = frozenset({"23502", "23514"})
#: Smallest part of the rows that is copied at once, however many rows are rejected.
_PART_ROWS_MIN: Final = 32
_LINE: Final = re.compile(r"line (\d+)")


@dataclass(frozen=True)
class RejectedRow:
    """A row that the database rejects: its index in the batch, and the reason (SQLSTATE and constraint name).

    For a record that could not be decoded, `index` is the index of the record and `reason` that of the
    decoder.
    """

    index: int
    reason: str


class TableMerge:
    """The statements that merge rows into one table.

    The temporary table that rows are copied into has the table's own constraints, so COPY reports the line of an
    invalid row. A row that only the table itself rejects (by a trigger, an index) is found by bisecting.
    """

    def __init__(self, schema: str, table: Table) -> None:
        self._names = (OP, *table.columns)
        self._table = table
        self._qualified_name = sql.Identifier(schema, table.name).as_string()
        self._placeholders = _placeholders(schema, table)

    def prepare(self, connection: Connection[Any]) -> None:
        """Create the temporary table; once per connection."""
        arguments = [self._qualified_name, list(self._table.columns)]
        constraints = connection.execute(_CONSTRAINTS, arguments).fetchall()
        checks = [
            sql.SQL("CONSTRAINT {} CHECK (op <> 'UPSERT' OR ({}))").format(
                sql.Identifier(name), sql.SQL(condition)
            )
            for name, condition in constraints
        ]
        columns = sql.SQL(", ").join([_column_definitions(self._table), *checks])
        connection.execute(self._format(_STAGE, columns=columns))

    def recreate(self, connection: Connection[Any]) -> None:
        """Create the temporary table again, with the constraints that the table has now."""
        connection.execute(self._format("DROP TABLE {stage}"))
        self.prepare(connection)

    def clear(self, connection: Connection[Any]) -> None:
        """Delete the rows of the temporary table within a transaction."""
        connection.execute(self._format("DELETE FROM {stage}"))

    def stage(self, connection: Connection[Any], rows: TableRows) -> None:
        """Copy rows into the temporary table. Raise psycopg.Error if the database rejects a row, or fails."""
        names = sql.SQL(", ").join(map(sql.Identifier, self._names))
        # Encode before COPY begins, since no server timeout ends a session stalled in COPY.
        encoded = _csv(rows, self._names)
        with connection.cursor() as cursor, cursor.copy(self._format(_COPY, columns=names)) as copy:
            copy.write(encoded)

    def apply(self, connection: Connection[Any], rows: TableRows) -> None:
        """Merge the staged rows, which have distinct keys. Raise psycopg.Error as `stage` does.

        The transaction has excluded withdrawals before (`connectors.postgres.withdrawal_table`).
        """
        if self._table.located:
            connection.execute(self._format(_WITHHOLD))
        connection.execute(self._format(_UPSERT))
        if rows.has_deletes:
            connection.execute(self._format(_DELETE))
            connection.execute(self._format(_STORE_DELETED))

    def _format(self, template: Any, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(template).format(**(self._placeholders | more))


def merge_rows(connection: Connection[Any], merge: TableMerge, rows: TableRows) -> list[RejectedRow]:
    """Merge the rows of one table except those that the database rejects, and return these.

    Of several rows of a key only the newest is merged. The others are checked against the constraints too. If one of
    a key is rejected, the caller has to start over without it: only then another row of that key is merged.
    """
    newest, older = rows.split_newest()
    rejected: list[RejectedRow] = []
    if len(older):
        rejected += stage_valid_rows(connection, merge, older)[1]
        merge.clear(connection)
    valid, rejected_newest = stage_valid_rows(connection, merge, newest)
    rejected += rejected_newest
    if not len(valid):
        return rejected
    error = _rejection_of(connection, lambda: merge.apply(connection, valid))
    if error is None:
        return rejected
    if error.sqlstate in _CONSTRAINT_STATES:
        # The constraint is newer than this connection: the temporary table checks it from now on.
        merge.recreate(connection)
        valid, rejected_newest = stage_valid_rows(connection, merge, valid, recreated=True)
        rejected += rejected_newest
    else:
        merge.clear(connection)
    return rejected + bisect_rows(connection, merge, valid)


def stage_valid_rows(
    connection: Connection[Any], merge: TableMerge, rows: TableRows, *, recreated: bool = False
) -> tuple[TableRows, list[RejectedRow]]:
    """Stage all rows except those whose line COPY rejects; return the staged and the rejected rows.

    After a rejected row, copy the rows of its part before it again, and then those after it. Parts shrink as more rows
    are rejected, so a rejection costs at most one part. At the first constraint error, recreate the temporary table and
    start over: the real table may have lost the constraint.
    """
    rejected: list[RejectedRow] = []
    staged: list[TableRows] = []
    remaining = [rows] if len(rows) else []
    while remaining:
        part = remaining.pop()
        part_rows_max = max(_PART_ROWS_MIN, len(rows) >> (len(rejected) // 2))
        if len(part) > part_rows_max:
            remaining.append(part.slice(part_rows_max, len(part)))
            part = part.slice(0, part_rows_max)
        error = _rejection_of(connection, lambda part=part: merge.stage(connection, part))  # type: ignore[misc]
        if error is None:
            staged.append(part)
        elif error.sqlstate in _CONSTRAINT_STATES and not recreated:
            merge.recreate(connection)
            rejected, staged, remaining, recreated = [], [], [rows], True
        else:
            row = _rejected_row(error, part)
            if row is not None:
                rejected.append(RejectedRow(part.row_indices[row], safe_description(error)))
            remaining += [rest for rest in _remaining_parts(part, row) if len(rest)]
    return (staged[0] if len(staged) == 1 else rows.concat(staged)), rejected


def bisect_rows(connection: Connection[Any], merge: TableMerge, rows: TableRows) -> list[RejectedRow]:
    """Merge the rows by halves down to single rows, and return the rejected ones."""
    if not len(rows):
        return []

    def merge_all() -> None:
        merge.clear(connection)
        merge.stage(connection, rows)
        merge.apply(connection, rows)

    error = _rejection_of(connection, merge_all)
    if error is None:
        return []
    if len(rows) == 1:
        return [RejectedRow(rows.row_indices[0], safe_description(error))]
    return [row for half in rows.halves() for row in bisect_rows(connection, merge, half)]


def _rejection_of(connection: Connection[Any], work: Callable[[], None]) -> psycopg.Error | None:
    """Run `work` in a savepoint and return None, or the error by which the database rejected a row.

    Such an error rolls back to the savepoint. Raise any other psycopg.Error.
    """
    try:
        with connection.transaction():
            work()
    except psycopg.Error as error:
        if sql_error_action(error) is not SqlErrorAction.REJECTED:
            raise
        return error
    return None


def _rejected_row(error: psycopg.Error, part: TableRows) -> int | None:
    """Return the position in the part of the row that the error names; None if it is not known.

    The error names a line, which is a row only if no value has a line break.
    """
    if len(part) == 1:
        return 0
    match = _LINE.search(error.diag.context or "")
    line = int(match[1]) if match else 0
    return line - 1 if 0 < line <= len(part) and not part.has_line_breaks else None


def _remaining_parts(part: TableRows, rejected: int | None) -> list[TableRows]:
    """Return what is still to stage, last first: the rows around a rejected one, or halves if it is not known."""
    if rejected is None:
        return list(reversed(part.halves()))
    return [part.slice(rejected + 1, len(part)), part.slice(0, rejected)]


def _csv(rows: TableRows, names: tuple[str, ...]) -> bytes:
    """Encode rows as COPY reads them: text in quotation marks, null as nothing."""
    buffer = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(rows.data.select(names), buffer, options)
    return buffer.getvalue()


def _column_definitions(table: Table) -> sql.Composed:
    types = [(OP, "text"), *((name, table.type_of(name)) for name in table.columns)]
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(column_type)) for name, column_type in types
    )


def _placeholders(schema: str, table: Table) -> dict[str, sql.Composable]:
    comma = sql.SQL(", ")
    return {
        "table": sql.Identifier(schema, table.name),
        "stage": sql.Identifier("pg_temp", f"stage_{table.name}"),
        "deleted": sql.Identifier(schema, "deleted_revision"),
        "withdrawal": sql.Identifier(schema, WITHDRAWAL_TABLE),
        "entity": sql.Literal(table.entity),
        "second_key": second_key(table, "s"),
        "columns": comma.join(map(sql.Identifier, table.columns)),
        "key": comma.join(map(sql.Identifier, table.key)),
        "changes": comma.join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
            for name in table.columns
            if name not in table.key
        ),
        "same_key": sql.SQL(" AND ").join(
            sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in table.key
        ),
        **withholding(table, "s"),
    }


def second_key(table: Table, alias: str) -> sql.Composable:
    """Return the text by which `deleted_revision` tells a person's rows apart: of several columns a JSON array."""
    columns = [sql.Identifier(alias, name) for name in table.key_of_row]
    if not columns:
        return sql.Literal("")
    if len(columns) == 1 and table.type_of(table.key_of_row[0]) == "text":
        return columns[0]
    return sql.SQL("json_build_array({})::text").format(sql.SQL(", ").join(columns))
