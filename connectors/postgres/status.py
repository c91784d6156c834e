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
