"""The content of a store on a real database: rows, receipts, dead letters and the dead-letter queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection, sql

from connectors.postgres.outbox import unpack_receipts
from schemas.systems import Domain
from streams.dead_letters import seal_context
from streams.testing.driver import SEALER
from tests.contract.sink_suite import CODEC, OpenDeadLetter, Receipt


def table(
    admin: Connection[Any], domain: Domain, name: str, column: str
) -> dict[tuple[str, str], tuple[str | None, int]]:
    """Return one column and the revision of a municipal domain's table, by code and municipality."""
    query = sql.SQL("SELECT code, municipality, {}, revision FROM {}").format(
        sql.Identifier(column), sql.Identifier(domain.schema_name, name)
    )
    return {
        (code, municipality): (value, revision)
        for code, municipality, value, revision in admin.execute(query)
    }


def receipts(admin: Connection[Any], domain: Domain) -> list[Receipt]:
    """Return the receipts in the outbox, in order."""
    query = sql.SQL("SELECT receipts FROM {} ORDER BY id")
    outbox = admin.execute(query.format(sql.Identifier(domain.schema_name, "receipt_outbox"))).fetchall()
    rows = [row for (content,) in outbox for row in unpack_receipts(content).to_pylist()]
    return [Receipt(row["code"], row["entity"], row["revision"]) for row in rows]


def open_dead_letters(admin: Connection[Any], domain: Domain) -> list[OpenDeadLetter]:
    """Return the open dead letters in the outbox, by position."""
    query = sql.SQL("SELECT value FROM {} ORDER BY id")
    outbox = admin.execute(query.format(sql.Identifier(domain.schema_name, "dead_letter_outbox"))).fetchall()
    rows = CODEC.decode("dead-letter", [value for (value,) in outbox]).table.to_pylist()
    return sorted(
        OpenDeadLetter(row["partition"], row["offset"], opened_value(row))
        for row in rows
        if row["status"] == "OPEN"
    )


def opened_value(row: Mapping[str, Any]) -> bytes | None:
    """Return the record value that a dead letter has sealed."""
    context = seal_context(row["step"], row["digest"], "value")
    return None if row["value"] is None else SEALER.open(row["value"], context)


def dlq_rows(admin: Connection[Any], domain: Domain) -> list[tuple[int, str]]:
    """Return offset and kind of the records in the dead-letter queue, by position."""
    query = sql.SQL("SELECT record_offset, kind FROM {} ORDER BY partition, record_offset")
    return admin.execute(query.format(sql.Identifier(domain.schema_name, "dlq_entry"))).fetchall()
