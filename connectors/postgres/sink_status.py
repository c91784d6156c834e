"""The status of a store, its outboxes and its dead-letter queue, for `mesh wait --idle` and `mesh status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, sql

from schemas.systems import Domain
from schemas.topics import domain_topic, withdrawal_topic


@dataclass(frozen=True)
class StoreStatus:
    """The stored offsets by partition, and the rows of the outboxes that are not published yet.

    `next_offsets` are those of the domain's topic, `withdrawal_offsets` those of its withdrawals.
    """

    next_offsets: Mapping[int, int]
    receipts_waiting: int
    dead_letters_waiting: int
    withdrawal_offsets: Mapping[int, int] = field(default_factory=dict)


def store_status(connection: Connection[Any], domain: Domain) -> StoreStatus:
    """Return a store's status, from one statement; the auditor may run it.

    The sink is idle if every stored offset is the end offset of its partition for readers of committed records (a
    sink advances it over transaction markers too), and the outboxes are empty.
    """
    query = """SELECT
        (SELECT coalesce(json_agg(json_build_array(topic, partition, next_offset)), '[]') FROM {}),
        (SELECT count(*) FROM {}), (SELECT count(*) FROM {})"""
    names = ("sink_offset", "receipt_outbox", "dead_letter_outbox")
    tables = [sql.Identifier(domain.schema_name, name) for name in names]
    row = connection.execute(sql.SQL(query).format(*tables)).fetchone()
    offsets, receipts, dead_letters = row if row is not None else ([], 0, 0)
    of_topic: dict[str, dict[int, int]] = {domain_topic(domain.id): {}, withdrawal_topic(domain.id): {}}
    for topic, partition, offset in offsets:
        of_topic[topic][partition] = offset
    of_rows, of_withdrawals = of_topic.values()
    return StoreStatus(of_rows, receipts, dead_letters, of_withdrawals)


@dataclass(frozen=True)
class StoreDlq:
    """Records blocked behind each open dead letter by its id, all blocked records, and ids of the commands done."""

    dead_letters: Mapping[str, int]
    blocked: int
    commands_done: frozenset[str]


def store_dlq(connection: Connection[Any], domain: Domain) -> StoreDlq:
    """Return a sink's dead-letter queue, from one statement; the auditor may run it."""
    query = """SELECT
        (SELECT coalesce(json_object_agg(d.digest, (
            SELECT count(*) FROM {dlq_entry} AS b
            WHERE b.kind = 'BLOCKED' AND b.partition = d.partition AND b.ordering_key = d.ordering_key)), '{{}}')
         FROM {dlq_entry} AS d WHERE d.kind = 'DEAD_LETTER'),
        (SELECT count(*) FROM {dlq_entry} WHERE kind = 'BLOCKED'),
        (SELECT coalesce(array_agg(id), '{{}}') FROM {commands_done})"""
    names = {
        "dlq_entry": sql.Identifier(domain.schema_name, "dlq_entry"),
        "commands_done": sql.Identifier(domain.schema_name, "dlq_command_done"),
    }
    row = connection.execute(sql.SQL(query).format(**names)).fetchone()
    dead_letters, blocked, commands_done = row if row is not None else ({}, 0, [])
    return StoreDlq(dead_letters, blocked, frozenset(commands_done))
