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
class StoreDlq:
    """Open letters by name with the number of records behind each, all that is parked, ids of the acts done."""

    letters: Mapping[str, int]
    parked: int
    acts_done: frozenset[str]


def store_aside(connection: Connection[Any], domain: Domain) -> StoreDlq:
    """What a sink has set aside, in one glance; the auditor may ask."""
    query = """SELECT
        (SELECT coalesce(json_object_agg(l.digest, (
            SELECT count(*) FROM {dlq_entry} AS p
            WHERE p.kind = 'BLOCKED' AND p.partition = l.partition AND p.ordering_key = l.ordering_key)), '{{}}')
         FROM {dlq_entry} AS l WHERE l.kind = 'DEAD_LETTER'),
        (SELECT count(*) FROM {dlq_entry} WHERE kind = 'BLOCKED'),
        (SELECT coalesce(array_agg(id), '{{}}') FROM {done})"""
    names = {
        "dlq_entry": sql.Identifier(domain.schema_name, "dlq_entry"),
        "done": sql.Identifier(domain.schema_name, "dlq_command_done"),
    }
    row = connection.execute(sql.SQL(query).format(**names)).fetchone()
    letters, parked, done = row if row is not None else ({}, 0, [])
    return StoreDlq(letters, parked, frozenset(done))
