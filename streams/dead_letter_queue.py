"""What a step has set aside in one partition: dead letters, and the records parked behind them.

A record belongs to strands: what must stay in order. A letter holds its strands; a later record that waits for one of
them is parked, and holds its own. Only places are kept, no content: the input's topic has it, and is kept for ever.
It is state as any other: published in the transaction of its batch, and restored from the changelog.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from schemas.codec import Codec
from streams.clients import Message
from streams.sealing import Sealer
from streams.state import Changes, PartitionStore

SCHEMA: Final = "dlq-entry"
#: Name of the store.
STORE: Final = "dlq"
#: A client sends this much more than `record_bytes_max`: an entry must find its place whatever that is set to.
_MORE_BYTES: Final = 61_440
#: What a replay may count otherwise: a letter's name doesn't depend on it.
_VOLATILE: Final = frozenset({"revision", "applied_at", "id"})


class EntryKind(StrEnum):
    """What an entry is; as the schema has it."""

    DEAD_LETTER = "DEAD_LETTER"
    BLOCKED = "BLOCKED"
    COMMAND = "COMMAND"


@dataclass(frozen=True)
class QueueEntry:
    """One entry; see the schema `parked`."""

    kind: EntryKind
    topic: str
    offset: int
    digest: str = ""
    reason: str = ""
    waits_for: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its key on the changelog."""
        return (
            f"{self.topic}/command/{self.digest}"
            if self.kind is EntryKind.COMMAND
            else f"{self.topic}/{self.offset}"
        )

    @property
    def root_ids(self) -> tuple[str, ...]:
        """The letters that its strands are held by."""
        return (self.digest,) if self.kind is EntryKind.DEAD_LETTER else self.blocked_by


class BlockedKeys:
    """Strands that are held, each with the letters it is held by."""

    def __init__(self, entries: Iterable[QueueEntry] = ()) -> None:
        self._by: dict[str, frozenset[str]] = {}
        for entry in entries:
            self.add(entry)

    def __bool__(self) -> bool:
        return bool(self._by)

    @property
    def keys(self) -> list[str]:
        """All of them."""
        return list(self._by)

    def add(self, entry: QueueEntry) -> None:
        """Its strands are held from now on."""
        for strand in entry.blocks:
            self._by[strand] = self._by.get(strand, frozenset()).union(entry.root_ids)

    def blocked_by(self, waits: Collection[str]) -> tuple[str, ...]:
        """The letters that whoever waits for these strands is behind; none where all are free."""
        return tuple(sorted({root for strand in waits for root in self._by.get(strand, ())}))


class DeadLetterQueue:
    """All that is set aside of one input partition; the changelog's partition of that number has other topics' too."""

    def __init__(self, codec: Codec, topic: str, value_bytes_max: int) -> None:
        self._store = PartitionStore(codec, SCHEMA, value_bytes_max + _MORE_BYTES)
        self._prefix = f"{topic}/"
        self._known: dict[str, QueueEntry] | None = {}

    @property
    def entries(self) -> list[QueueEntry]:
        """Letters and parked records, in the order of their offsets."""
        found = (entry for entry in self._all().values() if entry.kind is not EntryKind.COMMAND)
        return sorted(found, key=lambda entry: entry.offset)

    @property
    def size(self) -> int:
        """How many entries are committed, acts included."""
        return len(self._store.committed)

    @property
    def size_bytes(self) -> int:
        """What their values take."""
        return sum(map(len, self._store.committed.values()))

    @property
    def checksum(self) -> int:
        """The sum of their marks (`streams.state`)."""
        return self._store.checksum

    @property
    def pending(self) -> Changes:
        """What the open transaction changes, encoded."""
        self._store.stage()
        return self._store.pending

    def dead_letters(self, digest: str) -> list[QueueEntry]:
        """The open letters of this name."""
        return [
            entry for entry in self.entries if entry.kind is EntryKind.DEAD_LETTER and entry.digest == digest
        ]

    def counts(self) -> tuple[int, int]:
        """How many letters, and how many records behind them."""
        kinds = [entry.kind for entry in self._all().values()]
        return kinds.count(EntryKind.DEAD_LETTER), kinds.count(EntryKind.BLOCKED)

    def __bool__(self) -> bool:
        """Whether anything is set aside, or an act remembered."""
        return bool(self._all())

    def put(self, entry: QueueEntry) -> None:
        """Sets it aside with the transaction."""
        self._all()[entry.key] = entry
        self._store.put(entry.key, asdict(entry))

    def remove(self, entry: QueueEntry) -> None:
        """Forgets it with the transaction."""
        self._all().pop(entry.key, None)
        self._store.delete(entry.key)

    def mark_done(self, act_id: str) -> None:
        """Remembers with the transaction that an act was done."""
        self.put(QueueEntry(EntryKind.COMMAND, self._prefix[:-1], 0, act_id))

    def is_done(self, act_id: str) -> bool:
        """Whether an act was done here."""
        return f"{self._prefix}command/{act_id}" in self._all()

    def commit(self) -> None:
        """The transaction is committed."""
        self._store.commit()

    def rollback(self) -> None:
        """The transaction is aborted."""
        self._store.rollback()
        self._known = None

    def restore(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Takes in records of the changelog, of this topic those, in their order."""
        mine = [entry for entry in entries if entry[0].startswith(self._prefix)]
        if mine:
            self._store.restore(mine)
            self._known = None

    def _all(self) -> dict[str, QueueEntry]:
        if self._known is None:
            keys = list(self._store.committed)
            values = self._store.get_many(keys) if keys else {}
            self._known = {key: _entry_from_row(value) for key, value in values.items()}
            self._store.discard()
        return self._known


def dead_letter_id(sealer: Sealer, record: Message, row: Mapping[str, Any] | None = None) -> str:
    """A letter's name: of topic, key and content, so that a replay finds it again at whatever offset.

    `row` is the content where it can be decoded: revisions, and which version of the schema it was written with, make
    no difference.
    """
    content = (
        (record.value() or b"") if row is None else orjson.dumps(_without_volatile(row), default=bytes.hex)
    )
    return sealer.digest(b"\x00".join([(record.topic() or "").encode(), record.key() or b"", content]))


def _without_volatile(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: _without_volatile(each) for name, each in value.items() if name not in _VOLATILE}
        return {name: each for name, each in sorted(kept.items()) if each is not None}
    return [_without_volatile(each) for each in value] if isinstance(value, list) else value


def _entry_from_row(row: Mapping[str, Any]) -> QueueEntry:
    lists = {name: tuple(row[name]) for name in ("waits_for", "blocks", "blocked_by")}
    return QueueEntry(
        EntryKind(row["kind"]), row["topic"], row["offset"], row["digest"], row["reason"], **lists
    )
