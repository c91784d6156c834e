"""Withdrawals of addresses in a store: up to which revision of a code no row shows an address.

A transaction that writes rows and one that withdraws exclude each other by a lock on the table: so one of them sees
what the other has done, whichever workers they are of. Transactions that write rows don't exclude each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection, sql

TABLE: Final = "withdrawal"

_LOCK_FOR_ROWS = "LOCK TABLE {withdrawal} IN ROW EXCLUSIVE MODE"
_LOCK_TO_WITHDRAW = "LOCK TABLE {withdrawal} IN SHARE ROW EXCLUSIVE MODE"
_STORE = """INSERT INTO {withdrawal} AS w (code, revision)
SELECT code, max(revision) FROM unnest(%s::text[], %s::bigint[]) AS given (code, revision) GROUP BY code
ON CONFLICT (code) DO UPDATE SET revision = excluded.revision WHERE w.revision < excluded.revision"""
_WITHDRAW = """UPDATE {person} AS t SET address = NULL FROM {withdrawal} AS w
WHERE w.code = ANY(%s) AND t.code = w.code AND t.revision <= w.revision AND t.address IS NOT NULL"""


class WithdrawalTable:
    """Table `withdrawal` of one store, and the addresses in its table `person`."""

    def __init__(self, schema: str) -> None:
        tables = {"withdrawal": sql.Identifier(schema, TABLE), "person": sql.Identifier(schema, "person")}
        self._lock_for_rows, self._lock_to_withdraw, self._store, self._withdraw = (
            sql.SQL(text).format(**tables) for text in (_LOCK_FOR_ROWS, _LOCK_TO_WITHDRAW, _STORE, _WITHDRAW)
        )

    def lock_for_rows(self, connection: Connection[Any]) -> None:
        """Exclude withdrawals until the transaction ends; call it before rows are written."""
        connection.execute(self._lock_for_rows)

    def withdraw(self, connection: Connection[Any], codes: Sequence[str], revisions: Sequence[int]) -> None:
        """Withdraw the addresses of these codes up to these revisions, in all their rows; a higher one stays."""
        connection.execute(self._lock_to_withdraw)
        connection.execute(self._store, [list(codes), list(revisions)])
        connection.execute(self._withdraw, [list(codes)])
