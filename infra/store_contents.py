"""The rows that the stores have now, read as the auditor, for comparisons, reports and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.verification.reference import Actual
from schemas.systems import DOMAINS, Domain

#: Columns that may differ after a replay, because it interleaves the input topics differently.
EXCLUDED_FROM_DIGEST = frozenset({"revision"})


def read_stores(dsn: str) -> Actual:
    """Return every row of the domains' persons, accounts and messages, each with its `domain`; no rejections."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return Actual(
            _rows(connection, "person", lambda domain: domain.has_persons),
            _rows(connection, "notice", lambda domain: domain.has_messages),
            accounts=_rows(connection, "account", lambda domain: domain.has_accounts),
        )


def rows_by_domain(dsn: str) -> dict[str, dict[str, int]]:
    """Return each domain's number of persons by status, of messages by reason if it has no persons; or nothing."""
    with psycopg.connect(dsn) as connection:
        return {domain.id: _counts(connection, domain) for domain in DOMAINS.values()}


def digest(dsn: str) -> str:
    """Return the SHA-256 of all rows of persons, their histories, messages and readings, without what a replay changes.

    Rows are sorted.
    """
    actual = read_stores(dsn)
    lines = [_line(row) for row in (*actual.rows, *actual.messages)]
    lines += [f"{table}: {_line(row)}" for table, rows in read_readings(dsn).items() for row in rows]
    lines += [f"history: {_line(row)}" for row in read_histories(dsn)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_readings(dsn: str) -> dict[str, list[dict[str, Any]]]:
    """Return every row of the domains' declared readings, by table with its schema."""
    query = sql.SQL("SELECT * FROM {}")
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return {
            f"{domain.schema_name}.{reads.name}": connection.execute(
                query.format(sql.Identifier(domain.schema_name, reads.name))
            ).fetchall()
            for domain in DOMAINS.values()
            for reads in domain.readings
        }


def read_histories(dsn: str) -> list[dict[str, Any]]:
    """Return every row of the histories of persons' rows, each with its `domain`."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return _rows(connection, "person_history", lambda domain: domain.has_history)


def _rows(
    connection: psycopg.Connection[dict[str, Any]], table: str, has_table: Callable[[Domain], bool]
) -> list[dict[str, Any]]:
    query = sql.SQL("SELECT * FROM {}")
    return [
        {**row, "domain": domain.id}
        for domain in DOMAINS.values()
        if has_table(domain)
        for row in connection.execute(query.format(sql.Identifier(domain.schema_name, table)))
    ]


def _counts(connection: psycopg.Connection[Any], domain: Domain) -> dict[str, int]:
    if not (domain.has_persons or domain.has_messages):
        return {}
    table, column = ("person", "status") if domain.has_persons else ("notice", "reason")
    query = sql.SQL("SELECT {0}, count(*) FROM {1} GROUP BY {0} ORDER BY {0}")
    counts = connection.execute(
        query.format(sql.Identifier(column), sql.Identifier(domain.schema_name, table))
    )
    return dict(counts.fetchall())


def _line(row: dict[str, Any] | Any) -> str:
    return "\x1f".join(f"{name}={row[name]}" for name in sorted(row) if name not in EXCLUDED_FROM_DIGEST)
