"""The smallest sink that holds the contract: a store in memory, with one row after the other. The suite's own check."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import NotOpenError, SinkFencedError
from connectors.sink import Record, SinkBatch, batch_of
from schemas.codec import Codec
from streams.clients import LocalMessage
from streams.command_handler import CommandType, DeadLetterCommand
from streams.dead_letter_queue import dead_letter_id
from streams.dead_letters import seal_context
from streams.sealing import Coding

#: Longest key, and what no row may have, so that this store refuses what a database does.
_KEY_MAX = 2_000

Key = tuple[str, str, str]
Place = tuple[int, int]
Person = tuple[str, str | None]


@dataclass
class Aside:
    """A record set aside: whose it is, and, of a letter, its name."""

    person: Person | None
    name: str | None


@dataclass
class MemoryStore:
    """Rows by entity, code and municipality (None: deleted) with their revisions."""

    rows: dict[Key, tuple[Mapping[str, Any] | None, int]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    receipts: list[tuple[str, str, int]] = field(default_factory=list)
    open_dead_letters: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    aside: dict[Place, Aside] = field(default_factory=dict)
    acts: set[str] = field(default_factory=set)

    def named(self, digest: str) -> list[Place]:
        """Letters of this name, and what is behind them."""
        persons = {each.person for each in self.aside.values() if each.name == digest}
        return sorted(
            place
            for place, each in self.aside.items()
            if each.name == digest or (each.person is not None and each.person in persons)
        )


class MemorySink:
    """A sink of local tax into a store in memory."""

    def __init__(self, store: MemoryStore, coding: Coding, schema: str, step: str) -> None:
        self._store, self._coding, self._schema, self._step = store, coding, schema, step
        self._started: dict[int, int] = {}
        self._waiting: list[SinkBatch] = []

    @property
    def open_dead_letters(self) -> Collection[str]:
        """Names of letters of open partitions."""
        found = self._store.aside.items()
        return sorted({each.name for (part, _), each in found if each.name and part in self._started})

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """The stored offsets."""
        self._waiting = []
        self._started = {partition: self._store.offsets.get(partition, 0) for partition in partitions}
        return dict(self._started)

    def put(self, batch: SinkBatch) -> None:
        """Keeps the batch until `flush`."""
        if not batch.next_offsets.keys() <= self._started.keys():
            raise NotOpenError("not open")
        self._waiting.append(batch)

    def flush(self) -> Mapping[int, int]:
        """Record after record, then all of it at once."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return dict(self._started)
        draft, started = deepcopy(self._store), dict(self._started)
        for batch in waiting:
            self._apply(draft, batch, {})
            started |= batch.next_offsets
        self._hold()
        draft.offsets |= started
        self._store.__dict__.update(draft.__dict__)
        self._started = started
        return dict(started)

    def affected_offsets(self, digest: str) -> Mapping[int, Sequence[int]]:
        """Offsets by partition."""
        found: dict[int, list[int]] = {}
        for partition, offset in self._store.named(digest):
            if partition in self._started:
                found.setdefault(partition, []).append(offset)
        return found

    def handle_command(self, act: DeadLetterCommand, partition: int, records: Mapping[int, Record]) -> None:
        """The letters and what is behind them, one after the other."""
        self._hold()
        places = [place for place in self._store.named(act.digest) if place[0] == partition]
        if not places or act.id in self._store.acts:
            return
        freed = {place: self._store.aside.pop(place) for place in places}
        for place, before in freed.items():
            record = records[place[1]]
            if before.name and act.type is CommandType.DISMISS:
                continue
            if before.name and act.type is CommandType.REPAIR:
                sealed = base64.b64decode(act.value or "")
                value = self._coding.sealer.open(sealed, seal_context(self._step, act.digest, "repair"))
                record = LocalMessage(
                    (str(record.topic()), partition), place[1], key_bytes=record.key(), value_bytes=value
                )
            batch = batch_of(self._codec, self._schema, [record], {})
            self._apply(self._store, batch, {place: before})
        self._store.acts.add(act.id)

    def close(self) -> None:
        """Forgets what was put."""
        self._waiting = []

    @property
    def _codec(self) -> Codec:
        return self._coding.codec

    def _hold(self) -> None:
        if any(self._store.offsets.get(number, 0) != offset for number, offset in self._started.items()):
            raise SinkFencedError("fenced")

    def _apply(self, store: MemoryStore, batch: SinkBatch, before: Mapping[Place, Aside]) -> None:
        lost = {fault.index for fault in batch.faults}
        rows = dict(zip(batch.record_indices, batch.table.to_pylist(), strict=True))
        for index, record in enumerate(batch.records):
            place = (record.partition() or 0, record.offset() or 0)
            row = None if index in lost else rows[index]
            person = row and (row["code"], row["municipality"])
            if person is not None and person in {each.person for each in store.aside.values()}:
                store.aside[place] = Aside(person, None)
            elif row is None or not _taken(store, row):
                known = before[place].name if place in before else None
                name = known or dead_letter_id(self._coding.sealer, record, row)  # type: ignore[arg-type]
                store.aside[place] = Aside(person, name)
                store.open_dead_letters.append((*place, record.value()))
            else:
                store.receipts.append((row["code"], row["entity"], row["revision"]))


def _taken(store: MemoryStore, row: Mapping[str, Any]) -> bool:
    """Whether the store takes the row; it changes nothing where a newer one was there."""
    content = row.get(str(row["entity"]).lower())
    upsert = row["op"] == "UPSERT"
    if row["entity"] not in ("PERSON", "ACCOUNT") or row["municipality"] is None:
        return False
    if row["op"] not in ("UPSERT", "DELETE") or (upsert and not _fits(row["code"], content)):
        return False
    key = (row["entity"], row["code"], row["municipality"])
    if key not in store.rows or store.rows[key][1] < row["revision"]:
        store.rows[key] = (content if upsert else None, row["revision"])
    return True


def _fits(code: str, content: Mapping[str, Any] | None) -> bool:
    if content is None or len(code) > _KEY_MAX or content["status"] == "unknown":
        return False
    return all("\0" not in value for value in content.values() if isinstance(value, str))
