"""An officer's act on a sink's dead letter: it and what is parked behind it are applied in their order, at once."""

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

#: Applies a batch; the records (by index) that were set aside as letters, those known under their old names.
Settle = Callable[[Connection[Any], PendingBatch, Mapping[int, DlqRow]], set[int]]


@dataclass(frozen=True)
class SinkParts:
    """What of a sink an act needs."""

    parking: DlqTable
    outbox: Outbox
    letters: DeadLetterBuilder
    settle: Settle


class SinkCommandHandler:
    """Does acts within the transaction that it is given, which holds the partition."""

    def __init__(self, domain: Domain, coding: Coding, parts: SinkParts) -> None:
        self._domain, self._coding, self._parts = domain, coding, parts

    def do(
        self,
        connection: Connection[Any],
        act: DeadLetterCommand,
        partition: int,
        records: Mapping[int, Record],
    ) -> None:
        """All that follows from it; that it was done is remembered with it. A second time it does nothing."""
        entries = self._parts.parking.concerned(connection, partition, act.digest)
        if not entries or self._parts.parking.has_done(connection, act.id, partition):
            return
        letters = [entry for entry in entries if entry.kind == DEAD_LETTER]
        tried = {letter: self._tried(act, letter, records) for letter in letters}
        vain = {letter: reason for letter, reason in tried.items() if isinstance(reason, str)}
        self._again(connection, vain, records)
        # Behind one that could not be tried everything stays as it is: it holds its ordering_key still.
        behind = (
            [] if vain else self._there(connection, [e for e in entries if e.kind != DEAD_LETTER], records)
        )
        moved = [*(letter for letter in letters if letter not in vain), *behind]
        self._parts.parking.remove(connection, partition, [entry.offset for entry in moved])
        taken = {letter: record for letter, record in tried.items() if not isinstance(record, str | None)}
        taken |= {entry: records[entry.offset] for entry in behind}
        self._follow(connection, act, [letter for letter in letters if letter not in vain], taken)
        self._parts.parking.do(connection, act.id, partition)

    def _tried(
        self, act: DeadLetterCommand, letter: DlqRow, records: Mapping[int, Record]
    ) -> Record | str | None:
        """The record to apply for a letter, or why there is none; None where it is given up."""
        if act.type is CommandType.DISMISS:
            return None
        record: Record | None = records.get(letter.offset)
        if act.type is CommandType.REPAIR:
            record = self._repaired(act, letter, record)
            if record is None:
                return REPAIR_UNREADABLE
        if record is None:
            return RECORD_DELETED
        decoded = self._coding.codec.decode(self._domain.event, [record.value()])
        return (
            record
            if decoded.table.num_rows
            else "tombstone"
            if decoded.tombstones
            else decoded.faults[0].reason
        )

    def _repaired(self, act: DeadLetterCommand, letter: DlqRow, record: Record | None) -> Record | None:
        place = seal_context(sink_step(self._domain.id), letter.digest, "repair")
        try:
            value = self._coding.sealer.open(base64.b64decode(act.value or "", validate=True), place)
        except (binascii.Error, SealedError):
            return None
        key, stamp = (None, 0) if record is None else (record.key(), record.timestamp()[1])
        return LocalMessage(
            self._at(letter), letter.offset, key_bytes=key, value_bytes=value, timestamp_ms=stamp
        )

    def _again(
        self, connection: Connection[Any], vain: Mapping[DlqRow, str], records: Mapping[int, Record]
    ) -> None:
        """Letters that could not be tried stay, for their new reason."""
        self._parts.parking.add(connection, [replace(each, reason=reason) for each, reason in vain.items()])
        dead = [
            self._parts.letters.again(each, records.get(each.offset) or self._bare(each), reason)
            for each, reason in vain.items()
        ]
        self._parts.outbox.add_letters(connection, self._parts.letters.outgoing(dead))

    def _there(
        self, connection: Connection[Any], parked: Sequence[DlqRow], records: Mapping[int, Record]
    ) -> list[DlqRow]:
        """What follows, up to a record that isn't there any more: that becomes a letter, and the rest waits for it."""
        found: list[DlqRow] = []
        for entry in parked:
            if entry.offset not in records:
                digest = self._coding.sealer.digest(f"{self._at(entry)}/{entry.offset}".encode())
                self._again(
                    connection, {replace(entry, kind=DEAD_LETTER, digest=digest): RECORD_DELETED}, records
                )
                break
            found.append(entry)
        return found

    def _follow(
        self,
        connection: Connection[Any],
        act: DeadLetterCommand,
        letters: Sequence[DlqRow],
        taken: Mapping[DlqRow, Record],
    ) -> None:
        """Applies the records in their order; letters that are none any more are told so."""
        order = sorted(taken, key=lambda entry: entry.offset)
        records = [taken[entry] for entry in order]
        waiting = pending_batch(self._domain, batch_of(self._coding.codec, self._domain.event, records, {}))
        known = {index: entry for index, entry in enumerate(order) if entry.kind == DEAD_LETTER}
        left = self._parts.settle(connection, _stranded(waiting, known), known)
        still = {order[index].offset for index in left}
        done = [
            DeadLetter(self._bare(each), each.reason, each.digest, STATUS_AFTER[act.type], act.id, act.reason)
            for each in letters
            if each.offset not in still
        ]
        self._parts.outbox.add_letters(connection, self._parts.letters.outgoing(done))

    def _bare(self, entry: DlqRow) -> LocalMessage:
        return LocalMessage(self._at(entry), entry.offset)

    def _at(self, entry: DlqRow) -> tuple[str, int]:
        return domain_topic(self._domain.id), entry.partition


def _stranded(waiting: PendingBatch, known: Mapping[int, DlqRow]) -> PendingBatch:
    """Letters hold what they held, also where a repair says otherwise."""
    strands = [
        known[index].ordering_key if index in known else ordering_key
        for index, ordering_key in zip(waiting.indices.to_pylist(), waiting.strands.to_pylist(), strict=True)
    ]
    return replace(waiting, strands=pa.array(strands, pa.string()))
