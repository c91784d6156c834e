"""An officer's act on a sink's dead letter: it and what is parked behind it are applied in their order, at once."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from psycopg import Connection

from connectors.postgres.letters import Letters
from connectors.postgres.outbox import Outbox
from connectors.postgres.parking import LETTER, Entry, Parking
from connectors.postgres.settling import Waiting, waiting_of
from connectors.sink import Record, batch_of
from schemas.systems import Domain
from schemas.topics import domain_topic, sink_step
from streams.acting import GONE, NOT_SEALED, STATUS, Act, Deed
from streams.clients import Placed
from streams.dead_letters import DeadLetter, seal_place
from streams.sealing import Coding, SealedError

#: Applies a batch; the records (by index) that were set aside as letters, those known under their old names.
Settle = Callable[[Connection[Any], Waiting, Mapping[int, Entry]], set[int]]


@dataclass(frozen=True)
class Parts:
    """What of a sink an act needs."""

    parking: Parking
    outbox: Outbox
    letters: Letters
    settle: Settle


class Acting:
    """Does acts within the transaction that it is given, which holds the partition."""

    def __init__(self, domain: Domain, coding: Coding, parts: Parts) -> None:
        self._domain, self._coding, self._parts = domain, coding, parts

    def do(
        self, connection: Connection[Any], act: Act, partition: int, records: Mapping[int, Record]
    ) -> None:
        """All that follows from it; that it was done is remembered with it. A second time it does nothing."""
        entries = self._parts.parking.concerned(connection, partition, act.digest)
        if not entries or self._parts.parking.has_done(connection, act.id, partition):
            return
        letters = [entry for entry in entries if entry.kind == LETTER]
        tried = {letter: self._tried(act, letter, records) for letter in letters}
        vain = {letter: reason for letter, reason in tried.items() if isinstance(reason, str)}
        self._again(connection, vain, records)
        # Behind one that could not be tried everything stays as it is: it holds its strand still.
        behind = [] if vain else self._there(connection, [e for e in entries if e.kind != LETTER], records)
        moved = [*(letter for letter in letters if letter not in vain), *behind]
        self._parts.parking.remove(connection, partition, [entry.offset for entry in moved])
        taken = {letter: record for letter, record in tried.items() if not isinstance(record, str | None)}
        taken |= {entry: records[entry.offset] for entry in behind}
        self._follow(connection, act, [letter for letter in letters if letter not in vain], taken)
        self._parts.parking.do(connection, act.id, partition)

    def _tried(self, act: Act, letter: Entry, records: Mapping[int, Record]) -> Record | str | None:
        """The record to apply for a letter, or why there is none; None where it is given up."""
        if act.deed is Deed.DISMISS:
            return None
        record: Record | None = records.get(letter.offset)
        if act.deed is Deed.REPAIR:
            record = self._repaired(act, letter, record)
            if record is None:
                return NOT_SEALED
        if record is None:
            return GONE
        decoded = self._coding.codec.decode(self._domain.event, [record.value()])
        return (
            record
            if decoded.table.num_rows
            else "tombstone"
            if decoded.tombstones
            else decoded.faults[0].reason
        )

    def _repaired(self, act: Act, letter: Entry, record: Record | None) -> Record | None:
        place = seal_place(sink_step(self._domain.id), letter.digest, "repair")
        try:
            value = self._coding.sealer.open(base64.b64decode(act.value or "", validate=True), place)
        except (binascii.Error, SealedError):
            return None
        key, stamp = (None, 0) if record is None else (record.key(), record.timestamp()[1])
        return Placed(self._at(letter), letter.offset, key_bytes=key, value_bytes=value, timestamp_ms=stamp)

    def _again(
        self, connection: Connection[Any], vain: Mapping[Entry, str], records: Mapping[int, Record]
    ) -> None:
        """Letters that could not be tried stay, for their new reason."""
        self._parts.parking.add(connection, [replace(each, reason=reason) for each, reason in vain.items()])
        dead = [
            self._parts.letters.again(each, records.get(each.offset) or self._bare(each), reason)
            for each, reason in vain.items()
        ]
        self._parts.outbox.add_letters(connection, self._parts.letters.outgoing(dead))

    def _there(
        self, connection: Connection[Any], parked: Sequence[Entry], records: Mapping[int, Record]
    ) -> list[Entry]:
        """What follows, up to a record that isn't there any more: that becomes a letter, and the rest waits for it."""
        found: list[Entry] = []
        for entry in parked:
            if entry.offset not in records:
                digest = self._coding.sealer.digest(f"{self._at(entry)}/{entry.offset}".encode())
                self._again(connection, {replace(entry, kind=LETTER, digest=digest): GONE}, records)
                break
            found.append(entry)
        return found

    def _follow(
        self,
        connection: Connection[Any],
        act: Act,
        letters: Sequence[Entry],
        taken: Mapping[Entry, Record],
    ) -> None:
        """Applies the records in their order; letters that are none any more are told so."""
        order = sorted(taken, key=lambda entry: entry.offset)
        records = [taken[entry] for entry in order]
        waiting = waiting_of(self._domain, batch_of(self._coding.codec, self._domain.event, records, {}))
        known = {index: entry for index, entry in enumerate(order) if entry.kind == LETTER}
        left = self._parts.settle(connection, _stranded(waiting, known), known)
        still = {order[index].offset for index in left}
        done = [
            DeadLetter(self._bare(each), each.reason, each.digest, STATUS[act.deed], act.id, act.reason)
            for each in letters
            if each.offset not in still
        ]
        self._parts.outbox.add_letters(connection, self._parts.letters.outgoing(done))

    def _bare(self, entry: Entry) -> Placed:
        return Placed(self._at(entry), entry.offset)

    def _at(self, entry: Entry) -> tuple[str, int]:
        return domain_topic(self._domain.id), entry.partition


def _stranded(waiting: Waiting, known: Mapping[int, Entry]) -> Waiting:
    """Letters hold what they held, also where a repair says otherwise."""
    strands = [
        known[index].strand if index in known else strand
        for index, strand in zip(waiting.indices.to_pylist(), waiting.strands.to_pylist(), strict=True)
    ]
    return replace(waiting, strands=pa.array(strands, pa.string()))
