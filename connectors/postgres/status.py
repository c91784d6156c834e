"""How far a store is, and what it still has to tell: for `wait --idle` and `status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from schemas.systems import Domain


@dataclass(frozen=True)
class StoreStatus:
    """`next_offsets` by partition of the domain's topic; rows waiting in the outboxes."""

    next_offsets: Mapping[int, int]
    receipts_waiting: int
    letters_waiting: int


def store_status(connection: Connection[Any], domain: Domain) -> StoreStatus:
    """A store's status, in one glance; the auditor may ask.

    All is applied where every next offset is the end offset of its partition for readers of committed records, as a
    sink follows the end over transaction markers too, and nothing waits in the outboxes.
    """
    query = """SELECT
        (SELECT coalesce(json_object_agg(partition, next_offset), '{{}}') FROM {}),
        (SELECT count(*) FROM {}), (SELECT count(*) FROM {})"""
    names = ("sink_offset", "receipt_outbox", "dead_letter_outbox")
    tables = [sql.Identifier(domain.schema_name, name) for name in names]
    row = connection.execute(sql.SQL(query).format(*tables)).fetchone()
    offsets, receipts, letters = row if row is not None else ({}, 0, 0)
    return StoreStatus({int(partition): offset for partition, offset in offsets.items()}, receipts, letters)


@dataclass(frozen=True)
class StoreAside:
    """Open letters by name with the number of records behind each, all that is parked, ids of the acts done."""

    letters: Mapping[str, int]
    parked: int
    acts_done: frozenset[str]


def store_aside(connection: Connection[Any], domain: Domain) -> StoreAside:
    """What a sink has set aside, in one glance; the auditor may ask."""
    query = """SELECT
        (SELECT coalesce(json_object_agg(l.digest, (
            SELECT count(*) FROM {parked} AS p
            WHERE p.kind = 'PARKED' AND p.partition = l.partition AND p.strand = l.strand)), '{{}}')
         FROM {parked} AS l WHERE l.kind = 'LETTER'),
        (SELECT count(*) FROM {parked} WHERE kind = 'PARKED'),
        (SELECT coalesce(array_agg(id), '{{}}') FROM {done})"""
    names = {
        "parked": sql.Identifier(domain.schema_name, "parked"),
        "done": sql.Identifier(domain.schema_name, "act_done"),
    }
    row = connection.execute(sql.SQL(query).format(**names)).fetchone()
    letters, parked, done = row if row is not None else ({}, 0, [])
    return StoreAside(letters, parked, frozenset(done))
