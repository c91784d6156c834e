"""Operator commands on a sink's dead letters: the dead letter and the records blocked behind it, applied in order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from psycopg import Connection

from connectors.postgres.applying import PendingBatch, pending_batch
from connectors.postgres.dead_letter_builder import DeadLetterBuilder
from connectors.postgres.dlq_table import DEAD_LETTER, DlqRow, DlqTable
from connectors.postgres.outbox import Outbox
from connectors.sink import Record, batch_of
from schemas.systems import Domain
from schemas.topics import domain_topic, sink_step
from streams.clients import LocalMessage
from streams.command_handler import (
    RECORD_DELETED,
    REPAIR_UNREADABLE,
    STATUS_AFTER,
    CommandType,
    DeadLetterCommand,
)
from streams.dead_letters import DeadLetter, seal_context
from streams.sealing import Coding, SealedError

#: Applies a batch and returns the indices of the records that are dead letters now. Known dead letters, by record
#: index, keep their ids.
ApplyCommandBatch = Callable[[Connection[Any], PendingBatch, Mapping[int, DlqRow]], set[int]]


@dataclass(frozen=True)
class SinkParts:
    """The parts of a sink that a command needs."""

    dlq_table: DlqTable
    outbox: Outbox
    dead_letter_builder: DeadLetterBuilder
    apply: ApplyCommandBatch


class SinkCommandHandler:
    """The handler of commands, within a transaction that has locked the partition's offset."""

    def __init__(self, domain: Domain, coding: Coding, parts: SinkParts) -> None:
        self._domain, self._coding, self._parts = domain, coding, parts

    def handle(
        self,
        connection: Connection[Any],
        command: DeadLetterCommand,
        partition: int,
        records: Mapping[int, Record],
    ) -> None:
        """Handle a command in one partition, and store in the same transaction that it was done.

        A command that was done already has no effect. `records` are the affected records by offset, without those
        that no longer exist.
        """
        rows = self._parts.dlq_table.affected_rows(connection, partition, command.digest)
        if not rows or self._parts.dlq_table.is_done(connection, command.id, partition):
            return
        dead_letters = [row for row in rows if row.kind == DEAD_LETTER]
        attempts = {row: self._record_to_apply(command, row, records) for row in dead_letters}
        failures = {row: record for row, record in attempts.items() if isinstance(record, str)}
        self._reopen(connection, failures, records)
        # Behind a dead letter that failed everything stays as it is, because its ordering key stays blocked.
        unblocked: list[DlqRow] = []
        if not failures:
            blocked = [row for row in rows if row.kind != DEAD_LETTER]
            unblocked = self._until_missing(connection, blocked, records)
        removed = [*(row for row in dead_letters if row not in failures), *unblocked]
        self._parts.dlq_table.remove(connection, partition, [row.offset for row in removed])
        to_apply = {row: record for row, record in attempts.items() if not isinstance(record, str | None)}
        to_apply |= {row: records[row.offset] for row in unblocked}
        self._apply(connection, command, [row for row in dead_letters if row not in failures], to_apply)
        self._parts.dlq_table.mark_done(connection, command.id, partition)

    def _record_to_apply(
        self, command: DeadLetterCommand, row: DlqRow, records: Mapping[int, Record]
    ) -> Record | str | None:
        """Return the record to apply for a dead letter; the reason if there is none; None if it is dismissed."""
        if command.type is CommandType.DISMISS:
            return None
        record: Record | None = records.get(row.offset)
        if command.type is CommandType.REPAIR:
            record = self._repaired_record(command, row, record)
            if record is None:
                return REPAIR_UNREADABLE
        if record is None:
            return RECORD_DELETED
        decoded = self._coding.codec.decode(self._domain.event, [record.value()])
        if decoded.table.num_rows:
            return record
        return "tombstone" if decoded.tombstones else decoded.failures[0].reason

    def _repaired_record(
        self, command: DeadLetterCommand, row: DlqRow, record: Record | None
    ) -> Record | None:
        """Return the record with the command's value; None if the value cannot be opened."""
        context = seal_context(sink_step(self._domain.id), row.digest, "repair")
        try:
            value = self._coding.sealer.open(base64.b64decode(command.value or "", validate=True), context)
        except (binascii.Error, SealedError):
            return None
        key, timestamp_ms = (None, 0) if record is None else (record.key(), record.timestamp()[1])
        return LocalMessage(
            self._topic_partition(row),
            row.offset,
            key_bytes=key,
            value_bytes=value,
            timestamp_ms=timestamp_ms,
        )

    def _reopen(
        self, connection: Connection[Any], failures: Mapping[DlqRow, str], records: Mapping[int, Record]
    ) -> None:
        """Keep dead letters that could not even be tried, with their new reasons."""
        builder = self._parts.dead_letter_builder
        self._parts.dlq_table.add(
            connection, [replace(row, reason=reason) for row, reason in failures.items()]
        )
        dead_letters = [
            builder.reopen(row, records.get(row.offset) or self._without_content(row), reason)
            for row, reason in failures.items()
        ]
        self._parts.outbox.add_dead_letters(connection, builder.encode(dead_letters))

    def _until_missing(
        self, connection: Connection[Any], blocked: Sequence[DlqRow], records: Mapping[int, Record]
    ) -> list[DlqRow]:
        """Return the blocked rows up to one whose record no longer exists.

        That one becomes a dead letter, and the rest stays blocked behind it.
        """
        unblocked: list[DlqRow] = []
        for row in blocked:
            if row.offset not in records:
                position = f"{self._topic_partition(row)}/{row.offset}"
                digest = self._coding.sealer.digest(position.encode())
                missing = replace(row, kind=DEAD_LETTER, digest=digest)
                self._reopen(connection, {missing: RECORD_DELETED}, records)
                break
            unblocked.append(row)
        return unblocked

    def _apply(
        self,
        connection: Connection[Any],
        command: DeadLetterCommand,
        dead_letters: Sequence[DlqRow],
        to_apply: Mapping[DlqRow, Record],
    ) -> None:
        """Apply the records by offset, and publish the new status of the dead letters that are none any more."""
        rows = sorted(to_apply, key=lambda row: row.offset)
        records = [to_apply[row] for row in rows]
        batch = pending_batch(self._domain, batch_of(self._coding.codec, self._domain.event, records, {}))
        known = {index: row for index, row in enumerate(rows) if row.kind == DEAD_LETTER}
        rejected = self._parts.apply(connection, _with_known_keys(batch, known), known)
        rejected_offsets = {rows[index].offset for index in rejected}
        resolved = [
            DeadLetter(
                self._without_content(row),
                row.reason,
                row.digest,
                STATUS_AFTER[command.type],
                command.id,
                command.reason,
            )
            for row in dead_letters
            if row.offset not in rejected_offsets
        ]
        encoded = self._parts.dead_letter_builder.encode(resolved)
        self._parts.outbox.add_dead_letters(connection, encoded)

    def _without_content(self, row: DlqRow) -> LocalMessage:
        return LocalMessage(self._topic_partition(row), row.offset)

    def _topic_partition(self, row: DlqRow) -> tuple[str, int]:
        return domain_topic(self._domain.id), row.partition


def _with_known_keys(batch: PendingBatch, known: Mapping[int, DlqRow]) -> PendingBatch:
    """Return the batch with the ordering keys that known dead letters have, even if a repair changed the person."""
    ordering_keys = [
        known[index].ordering_key if index in known else ordering_key
        for index, ordering_key in zip(
            batch.record_indices.to_pylist(), batch.ordering_keys.to_pylist(), strict=True
        )
    ]
    return replace(batch, ordering_keys=pa.array(ordering_keys, pa.string()))
