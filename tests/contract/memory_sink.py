"""The smallest sink that holds the contract: a store in memory, with one row after the other. The suite's own check."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import FencedError, NotOpenError
from connectors.sink import SinkBatch

#: Longest key, and what no row may have, so that this store refuses what a database does.
_KEY_MAX = 2_000

Key = tuple[str, str, str]


@dataclass
class MemoryStore:
    """Rows by entity, code and municipality (None: deleted) with their revisions."""

    rows: dict[Key, tuple[Mapping[str, Any] | None, int]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    receipts: list[tuple[str, str, int]] = field(default_factory=list)
    letters: list[tuple[int, int, bytes | None]] = field(default_factory=list)


class MemorySink:
    """A sink of local tax into a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._started: dict[int, int] = {}
        self._waiting: list[SinkBatch] = []

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
            _apply(draft, batch)
            started |= batch.next_offsets
        if any(self._store.offsets.get(number, 0) != offset for number, offset in self._started.items()):
            raise FencedError("fenced")
        draft.offsets |= started
        self._store.__dict__.update(draft.__dict__)
        self._started = started
        return dict(started)

    def close(self) -> None:
        """Forgets what was put."""
        self._waiting = []


def _apply(store: MemoryStore, batch: SinkBatch) -> None:
    lost = {fault.index for fault in batch.faults}
    rows = dict(zip(batch.kept, batch.table.to_pylist(), strict=True))
    for index, record in enumerate(batch.records):
        if index in lost or not _taken(store, rows[index]):
            place = (record.partition() or 0, record.offset() or 0)
            store.letters.append((*place, record.value()))
        else:
            store.receipts.append((rows[index]["code"], rows[index]["entity"], rows[index]["revision"]))


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
