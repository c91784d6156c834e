"""Withdrawals in a store: up to which revision of a code no row shows an address or another place of the person.

A transaction that writes rows and one that withdraws exclude each other by a lock on the table: so one of them sees
what the other has done, whichever workers they are of. Transactions that write rows don't exclude each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection, sql

from connectors.postgres.table_definitions import Table, tables_of
from schemas.systems import Domain

TABLE: Final = "withdrawal"

_LOCK_FOR_ROWS = "LOCK TABLE {withdrawal} IN ROW EXCLUSIVE MODE"
_LOCK_TO_WITHDRAW = "LOCK TABLE {withdrawal} IN SHARE ROW EXCLUSIVE MODE"
_STORE = """INSERT INTO {withdrawal} AS w (code, revision)
SELECT code, max(revision) FROM unnest(%s::text[], %s::bigint[]) AS given (code, revision) GROUP BY code
ON CONFLICT (code) DO UPDATE SET revision = excluded.revision WHERE w.revision < excluded.revision"""
_WITHDRAW = """UPDATE {table} AS t SET {withheld} FROM {withdrawal} AS w
WHERE w.code = ANY(%s) AND t.code = w.code AND t.revision <= w.revision AND ({shown})"""


class WithdrawalTable:
    """Table `withdrawal` of one store, and the located columns of its other tables."""

    def __init__(self, domain: Domain) -> None:
        name = {"withdrawal": sql.Identifier(domain.schema_name, TABLE)}
        self._lock_for_rows, self._lock_to_withdraw, self._store = (
            sql.SQL(text).format(**name) for text in (_LOCK_FOR_ROWS, _LOCK_TO_WITHDRAW, _STORE)
        )
        self._withdraw = [
            sql.SQL(_WITHDRAW).format(
                table=sql.Identifier(domain.schema_name, table.name), **name, **withholding(table, "t")
            )
            for table in tables_of(domain)
            if table.located
        ]

    def lock_for_rows(self, connection: Connection[Any]) -> None:
        """Exclude withdrawals until the transaction ends; call it before rows are written."""
        connection.execute(self._lock_for_rows)

    def withdraw(self, connection: Connection[Any], codes: Sequence[str], revisions: Sequence[int]) -> None:
        """Withdraw the places of these codes up to these revisions, in all their rows; a higher one stays."""
        connection.execute(self._lock_to_withdraw)
        connection.execute(self._store, [list(codes), list(revisions)])
        for statement in self._withdraw:
            connection.execute(statement, [list(codes)])


def withholding(table: Table, alias: str) -> dict[str, sql.Composable]:
    """Return parts of a statement about a table's located columns: `withheld` sets all to null, `shown`: any isn't."""
    columns = [sql.Identifier(name) for name in table.located]
    return {
        "withheld": sql.SQL(", ").join(sql.SQL("{} = NULL").format(column) for column in columns),
        "shown": sql.SQL(" OR ").join(
            sql.SQL("{} IS NOT NULL").format(sql.Identifier(alias, name)) for name in table.located
        ),
    }
