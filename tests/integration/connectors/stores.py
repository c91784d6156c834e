"""What stands in a store on a real database, as tests ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection, sql

from connectors.postgres.outbox import unpacked
from schemas.systems import Domain
from streams.dead_letters import seal_context
from streams.testing.driver import SEALER
from tests.contract.sink_suite import CODEC, Letter, Receipt


def table(
    admin: Connection[Any], domain: Domain, name: str, column: str
) -> dict[tuple[str, str], tuple[str | None, int]]:
    """A municipal domain's table: by code and municipality, one column and the revision."""
    query = sql.SQL("SELECT code, municipality, {}, revision FROM {}").format(
        sql.Identifier(column), sql.Identifier(domain.schema_name, name)
    )
    return {(code, place): (value, revision) for code, place, value, revision in admin.execute(query)}


def receipts(admin: Connection[Any], domain: Domain) -> list[Receipt]:
    """Receipts in the outbox."""
    query = sql.SQL("SELECT receipts FROM {} ORDER BY id")
    found = admin.execute(query.format(sql.Identifier(domain.schema_name, "receipt_outbox"))).fetchall()
    rows = [row for (content,) in found for row in unpacked(content).to_pylist()]
    return [Receipt(row["code"], row["entity"], row["revision"]) for row in rows]


def letters(admin: Connection[Any], domain: Domain) -> list[Letter]:
    """Dead letters in the outbox."""
    query = sql.SQL("SELECT value FROM {} ORDER BY id")
    found = admin.execute(query.format(sql.Identifier(domain.schema_name, "dead_letter_outbox"))).fetchall()
    rows = CODEC.decode("dead-letter", [value for (value,) in found]).table.to_pylist()
    return sorted(
        Letter(row["partition"], row["offset"], opened(row)) for row in rows if row["status"] == "OPEN"
    )


def opened(row: Mapping[str, Any]) -> bytes | None:
    """The value that a dead letter holds."""
    place = seal_context(row["step"], row["digest"], "value")
    return None if row["value"] is None else SEALER.open(row["value"], place)


def parked(admin: Connection[Any], domain: Domain) -> list[tuple[int, str]]:
    """What is set aside: offset and kind, in order."""
    query = sql.SQL("SELECT record_offset, kind FROM {} ORDER BY partition, record_offset")
    return admin.execute(query.format(sql.Identifier(domain.schema_name, "dlq_entry"))).fetchall()
