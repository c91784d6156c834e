"""What the stores hold now, as the auditor reads them: for comparisons, reports and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.verification.reference import Actual
from schemas.systems import DOMAINS

#: Columns that may differ after a replay, as the `in.` topics interleave differently.
NOT_IN_DIGEST = frozenset({"revision"})
PORTAL = "portal"


def holdings(dsn: str) -> Actual:
    """Every row of the domains' tables `person` and `account` and of `portal.notice`; nothing is said of refusals."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        rows = [
            {**row, "domain": domain.id}
            for domain in DOMAINS.values()
            if domain.id != PORTAL
            for row in _rows(connection, domain.schema_name, "person")
        ]
        accounts = [
            {**row, "domain": domain.id}
            for domain in DOMAINS.values()
            if domain.has_accounts
            for row in _rows(connection, domain.schema_name, "account")
        ]
        return Actual(rows, list(_rows(connection, PORTAL, "notice")), accounts=accounts)


def rows_by_domain(dsn: str) -> dict[str, dict[str, int]]:
    """Rows of each domain by status; the portal's by reason."""
    with psycopg.connect(dsn) as connection:
        return {domain.id: _counts(connection, domain.schema_name) for domain in DOMAINS.values()}


def digest(dsn: str) -> str:
    """SHA-256 of all rows of `person` and `portal.notice`, sorted, without what a replay may change."""
    held = holdings(dsn)
    lines = sorted(_line(row) for row in (*held.rows, *({**row, "domain": PORTAL} for row in held.messages)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _rows(
    connection: psycopg.Connection[dict[str, Any]], schema: str, table: str
) -> Iterator[dict[str, Any]]:
    yield from connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table)))


def _counts(connection: psycopg.Connection[Any], schema: str) -> dict[str, int]:
    table, column = ("notice", "reason") if schema == PORTAL else ("person", "status")
    query = sql.SQL("SELECT {0}, count(*) FROM {1} GROUP BY {0} ORDER BY {0}")
    found = connection.execute(query.format(sql.Identifier(column), sql.Identifier(schema, table)))
    return dict(found.fetchall())


def _line(row: dict[str, Any] | Any) -> str:
    return "\x1f".join(f"{name}={row[name]}" for name in sorted(row) if name not in NOT_IN_DIGEST)
