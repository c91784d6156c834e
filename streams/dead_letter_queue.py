"""The dead-letter queue of one input partition: dead letters, and the records blocked behind them.

Records with the same ordering key must stay in order. A dead letter blocks its keys; a later record that waits for a
blocked key is blocked too, and blocks its own keys (Axon Framework calls this a sequenced dead-letter queue). An
entry holds offsets and keys, never content: the input topic has the content and keeps it for ever. The queue is state
like any other: published in the transaction of its batch, restored from its changelog.

A record that can't be decoded has no keys: it blocks nothing, and a batch takes no time for it, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import orjson

from schemas.codec import Codec
from streams.clients import Message
from streams.sealing import Sealer
from streams.state import Changes, PartitionStore

SCHEMA: Final = "dlq-entry"
#: Name of the state store.
STORE: Final = "dlq"
#: A client sends this much more than `record_bytes_max`, so that an entry always fits, whatever that setting is.
_EXTRA_BYTES: Final = 61_440
#: Fields that may differ in a replay; the id of a dead letter must not depend on them.
_VOLATILE: Final = frozenset({"revision", "applied_at", "id"})


class EntryKind(StrEnum):
    """Kinds of entries, as the schema names them."""

    DEAD_LETTER = "DEAD_LETTER"
    BLOCKED = "BLOCKED"
    COMMAND = "COMMAND"


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One entry of the queue; the schema `dlq-entry` describes the fields."""

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
        """Key of the entry in the changelog."""
        if self.kind is EntryKind.COMMAND:
            return _command_key(self.topic, self.digest)
        return f"{self.topic}/{self.offset}"

    @property
    def root_ids(self) -> tuple[str, ...]:
        """Ids of the dead letters that keep this entry's keys blocked."""
        return (self.digest,) if self.kind is EntryKind.DEAD_LETTER else self.blocked_by


class BlockedKeys:
    """Blocked ordering keys, each with the ids of the dead letters that block it."""

    def __init__(self, entries: Iterable[QueueEntry] = ()) -> None:
        self._roots_by_key: dict[str, frozenset[str]] = {}
        for entry in entries:
            self.add(entry)

    def __bool__(self) -> bool:
        return bool(self._roots_by_key)

    @property
    def keys(self) -> list[str]:
        """All blocked keys."""
        return list(self._roots_by_key)

    def add(self, entry: QueueEntry) -> None:
        """Block the keys of an entry."""
        for key in entry.blocks:
            self._roots_by_key[key] = self._roots_by_key.get(key, frozenset()).union(entry.root_ids)

    def blocked_by(self, keys: Collection[str]) -> tuple[str, ...]:
        """Return the ids of the dead letters that block any of these keys, sorted; empty if no key is blocked."""
        return tuple(sorted({root for key in keys for root in self._roots_by_key.get(key, ())}))


class _Entries:
    """Entries by key, with everything that is asked for every batch kept up to date by each change."""

    def __init__(self, entries: Iterable[QueueEntry] = ()) -> None:
        self.by_key: dict[str, QueueEntry] = {}
        #: Entries with ordering keys.
        self.keyed: dict[str, QueueEntry] = {}
        #: Keys of the dead letters by id.
        self.dead_letters: dict[str, dict[str, None]] = {}
        self.counts: Counter[EntryKind] = Counter()
        for entry in entries:
            self.set(entry.key, entry)

    def set(self, key: str, entry: QueueEntry | None) -> QueueEntry | None:
        """Set the entry of a key; None removes it. Return the entry before."""
        old = self.by_key.pop(key, None)
        if old is not None:
            self._remove(key, old)
        if entry is not None:
            self._add(key, entry)
        return old

    def _remove(self, key: str, entry: QueueEntry) -> None:
        self.counts[entry.kind] -= 1
        self.keyed.pop(key, None)
        if entry.kind is EntryKind.DEAD_LETTER:
            of_id = self.dead_letters[entry.digest]
            del of_id[key]
            if not of_id:
                del self.dead_letters[entry.digest]

    def _add(self, key: str, entry: QueueEntry) -> None:
        self.by_key[key] = entry
        self.counts[entry.kind] += 1
        if entry.blocks or entry.waits_for:
            self.keyed[key] = entry
        if entry.kind is EntryKind.DEAD_LETTER:
            self.dead_letters.setdefault(entry.digest, {})[key] = None


class DeadLetterQueue:
    """The entries of one input partition.

    The changelog partition with the same number also holds entries of the step's other input topics; they are ignored.
    """

    def __init__(self, codec: Codec, topic: str, value_bytes_max: int) -> None:
        self._store = PartitionStore(codec, SCHEMA, value_bytes_max + _EXTRA_BYTES)
        self._topic, self._prefix = topic, f"{topic}/"
        #: All entries; None: to be read from the store again.
        self._cached: _Entries | None = _Entries()
        #: By key, the entry before the first pending change; None: there was none.
        self._before: dict[str, QueueEntry | None] = {}

    @property
    def keyed_entries(self) -> Collection[QueueEntry]:
        """Dead letters and blocked records with ordering keys, in no order."""
        return self._all.keyed.values()

    def has_dead_letter(self, ids: Collection[str]) -> bool:
        """Return whether there is a dead letter with one of these ids."""
        dead_letters = self._all.dead_letters
        if len(ids) <= len(dead_letters):
            return any(each in dead_letters for each in ids)
        return any(each in ids for each in dead_letters)

    def dead_letters(self, ids: Iterable[str], at_most: int | None = None) -> list[QueueEntry]:
        """Return the dead letters with these ids, in no order: all, or `at_most` so many."""
        return list(islice(self._dead_letters(ids), at_most))

    @property
    def size(self) -> int:
        """Number of committed entries, commands included."""
        return len(self._store.committed)

    @property
    def size_bytes(self) -> int:
        """Bytes of the committed values."""
        return sum(map(len, self._store.committed.values()))

    @property
    def checksum(self) -> int:
        """Sum of the checksums of the committed entries (`streams.state`)."""
        return self._store.checksum

    @property
    def pending(self) -> Changes:
        """Encoded changes of the open transaction."""
        self._store.stage(self._store.encoded_attempt())
        return self._store.pending

    def counts(self) -> tuple[int, int]:
        """Return the number of dead letters and of blocked records."""
        counts = self._all.counts
        return counts[EntryKind.DEAD_LETTER], counts[EntryKind.BLOCKED]

    def __bool__(self) -> bool:
        """Return whether there is any entry, finished commands included."""
        return bool(self._all.by_key)

    @property
    def has_changes(self) -> bool:
        """Whether the open transaction changes this queue."""
        return bool(self._before)

    def put(self, entry: QueueEntry) -> None:
        """Add an entry; it takes effect with the transaction."""
        self._set(entry.key, entry)
        self._store.put(entry.key, asdict(entry))

    def remove(self, entry: QueueEntry) -> None:
        """Remove an entry; it takes effect with the transaction."""
        self._set(entry.key, None)
        self._store.delete(entry.key)

    def mark_done(self, command_id: str) -> None:
        """Remember that a command was applied; it takes effect with the transaction."""
        self.put(QueueEntry(EntryKind.COMMAND, self._topic, 0, command_id))

    def is_done(self, command_id: str) -> bool:
        """Return whether a command was applied to this queue."""
        return _command_key(self._topic, command_id) in self._all.by_key

    def commit(self) -> None:
        """Make the pending changes the committed state."""
        self._store.commit()
        self._before.clear()

    def rollback(self) -> None:
        """Drop the pending changes."""
        self._store.rollback()
        if self._cached is not None:
            for key, entry in self._before.items():
                self._cached.set(key, entry)
        self._before.clear()

    def restore(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Apply those changelog records (key and encoded value, in order) that belong to this topic."""
        of_topic = [entry for entry in entries if entry[0].startswith(self._prefix)]
        if of_topic:
            self._store.restore(of_topic)
            self._cached = None

    def _dead_letters(self, ids: Iterable[str]) -> Iterator[QueueEntry]:
        for each in ids:
            for key in self._all.dead_letters.get(each, ()):
                yield self._all.by_key[key]

    def _set(self, key: str, entry: QueueEntry | None) -> None:
        before = self._all.set(key, entry)
        self._before.setdefault(key, before)

    @property
    def _all(self) -> _Entries:
        if self._cached is None:
            keys = list(self._store.committed)
            values = self._store.get_many(keys) if keys else {}
            self._cached = _Entries(map(_entry_from_row, values.values()))
            self._store.discard()
        return self._cached


def dead_letter_id(sealer: Sealer, record: Message, row: Mapping[str, Any] | None = None) -> str:
    """Return the id of a dead letter: a keyed digest of topic, key and content, equal in a replay at any offset.

    `row` is the decoded content, None if it cannot be decoded. With a row the id does not depend on the
    fields `revision`, `applied_at` and `id`, nor on the schema version with which the record was written.
    """
    content = (record.value() or b"") if row is None else orjson.dumps(_stable(row), default=bytes.hex)
    return sealer.digest(b"\x00".join([(record.topic() or "").encode(), record.key() or b"", content]))


def _stable(value: Any) -> Any:
    """Return a value without volatile and empty fields, its fields sorted by name."""
    if isinstance(value, Mapping):
        stable = {name: _stable(field) for name, field in value.items() if name not in _VOLATILE}
        return {name: field for name, field in sorted(stable.items()) if field is not None}
    return [_stable(item) for item in value] if isinstance(value, list) else value


def _command_key(topic: str, command_id: str) -> str:
    return f"{topic}/command/{command_id}"


def _entry_from_row(row: Mapping[str, Any]) -> QueueEntry:
    lists = {name: tuple(row[name]) for name in ("waits_for", "blocks", "blocked_by")}
    return QueueEntry(
        EntryKind(row["kind"]), row["topic"], row["offset"], row["digest"], row["reason"], **lists
    )
