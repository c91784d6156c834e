"""State of a stateful step: the stores of each partition, kept encoded, restored from their changelogs.

Only this module encodes and decodes stored values, so encryption of fields could be added here. A store has three
layers, read from the top: changes of the current attempt, pending changes of the open transaction (encoded), and the
committed entries (encoded as in the changelog). Only a committed transaction changes the last layer.

The committed layer has a digest that doesn't depend on the order of changes: so a restored state can be compared with
the state before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from schemas.codec import Codec
from schemas.tables import rows_from_table, table_from_rows
from streams.errors import StateError
from streams.key_index import KeyIndex

#: Encoded values by key, as in the changelog; None is a tombstone.
Changes = dict[str, bytes | None]

#: Bytes of an entry's checksum, and of a digest.
_CHECKSUM_BYTES: Final = 16
_DIGEST_BYTES: Final = 8


class PartitionStore:
    """One store in one partition (`streams.contract.StateStore`)."""

    def __init__(self, codec: Codec, schema: str, value_bytes_max: int) -> None:
        self._codec, self._schema, self._value_bytes_max = codec, schema, value_bytes_max
        self.committed: dict[str, bytes] = {}
        #: Sum of the checksums of all committed entries, modulo 2^128: it doesn't depend on their order.
        self.checksum = 0
        self.pending: Changes = {}
        #: Changes of the current attempt, and values that it has read; None is a deleted key.
        self._attempt: dict[str, dict[str, Any] | None] = {}
        self._decoded: dict[str, dict[str, Any]] = {}
        #: The keys that `get_many` would find, in order; None until `first_keys` needs them.
        self._index: KeyIndex | None = None

    def get_many(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the values of those keys that have one. All values that aren't decoded yet are decoded in one call."""
        unique = list(dict.fromkeys(keys))
        self._decode([key for key in unique if key not in self._attempt and key not in self._decoded])
        values = ((key, self._attempt.get(key, self._decoded.get(key))) for key in unique)
        return {key: value for key, value in values if value is not None}

    def first_keys(self, until: str, limit: int) -> list[str]:
        """Return up to `limit` keys whose group, the text before the first `/`, is at most `until`.

        They are ordered by group, then by key. A call with a later group than before goes through all keys.
        """
        return self._sorted_keys().first(until, limit)

    def keys_after(self, key: str, limit: int) -> list[str]:
        """Return up to `limit` keys that come after this one, in the order of `first_keys`."""
        return self._sorted_keys().after(key, limit)

    def _sorted_keys(self) -> KeyIndex:
        if self._index is None:
            keys = set(self.committed)
            for key in self.pending.keys() | self._attempt.keys():
                (keys.add if self._has(key) else keys.discard)(key)
            self._index = KeyIndex(keys)
        return self._index

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Set a value; it is committed with the transaction."""
        if self._index is not None and not self._has(key):
            self._index.add(key)
        self._attempt[key] = dict(value)

    def delete(self, key: str) -> None:
        """Delete a key; the deletion is committed with the transaction."""
        if self._index is not None and self._has(key):
            self._index.remove(key)
        self._attempt[key] = None

    def encoded_attempt(self) -> Changes:
        """Return the changes of the attempt, encoded.

        Raise ValueError if a value doesn't fit the schema or is larger than `value_bytes_max`.
        """
        puts = {key: value for key, value in self._attempt.items() if value is not None}
        encoded: Changes = dict.fromkeys(self._attempt)
        encoded.update(zip(puts, self._encode(list(puts.values())), strict=True))
        return encoded

    def stage(self, encoded: Changes) -> None:
        """Make the changes of a successful attempt (`encoded_attempt`) pending changes of the transaction."""
        self.pending.update(encoded)
        # The next read decodes the encoded value, as after a restore: so results don't depend on the size of batches.
        self.discard()

    def discard(self) -> None:
        """Drop the changes of a failed attempt."""
        dropped, self._attempt = self._attempt, {}
        self._decoded.clear()
        self._reindex(dropped)

    def commit(self) -> None:
        """Make the pending changes the committed state; call it after the transaction was committed."""
        self.discard()
        self._apply(self.pending.items())
        self.pending.clear()

    def rollback(self) -> None:
        """Drop the pending changes; call it after the transaction was aborted."""
        self.discard()
        dropped, self.pending = self.pending, {}
        self._reindex(dropped)

    def restore(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Apply records of the changelog (key and encoded value), in their order."""
        self._apply(entries)
        # Nothing reads a store before all of it is restored: the next reader sorts the keys.
        self._index = None

    def _has(self, key: str) -> bool:
        """Return whether `get_many` would find the key."""
        if key in self._attempt:
            return self._attempt[key] is not None
        return self.pending[key] is not None if key in self.pending else key in self.committed

    def _reindex(self, dropped: Mapping[str, Any]) -> None:
        """Update the index after changes (None: a deletion) were dropped from the layer above the present ones."""
        if self._index is None:
            return
        for key, value in dropped.items():
            before, now = value is not None, self._has(key)
            if now and not before:
                self._index.add(key)
            elif before and not now:
                self._index.remove(key)

    def _apply(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        # Local names, because a changelog has millions of records.
        committed, checksum = self.committed, self.checksum
        for key, value in entries:
            old_value = committed.pop(key, None) if value is None else committed.get(key)
            if old_value is not None:
                checksum -= _checksum(key, old_value)
            if value is not None:
                committed[key] = value
                checksum += _checksum(key, value)
        self.checksum = checksum % (1 << 8 * _CHECKSUM_BYTES)

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
        if not rows:
            return []
        table = table_from_rows(self._schema, rows, self._codec.catalogue)
        values: list[bytes] = self._codec.encode(self._schema, table).to_pylist()
        if max(map(len, values)) > self._value_bytes_max:
            raise ValueError(f"a value of {self._schema} has more than {self._value_bytes_max} bytes")
        return values

    def _decode(self, keys: Sequence[str]) -> None:
        values = ((key, self.pending.get(key, self.committed.get(key))) for key in keys)
        # None: the key has no value, or a pending change deletes it.
        encoded = {key: value for key, value in values if value is not None}
        if not encoded:
            return
        decoded = self._codec.decode(self._schema, list(encoded.values()))
        if len(decoded.row_indices) != len(encoded):
            raise StateError(f"a stored value of {self._schema} can't be decoded")
        self._decoded.update(zip(encoded, rows_from_table(decoded.table), strict=True))


class PartitionState:
    """All stores of one partition (`streams.contract.State`); `stores` are schemas by store name."""

    def __init__(self, codec: Codec, stores: Mapping[str, str], value_bytes_max: int) -> None:
        self.stores = {
            name: PartitionStore(codec, schema, value_bytes_max) for name, schema in stores.items()
        }

    def __getitem__(self, store: str) -> PartitionStore:
        return self.stores[store]

    @property
    def entries(self) -> int:
        """Number of committed entries in all stores."""
        return sum(len(store.committed) for store in self.stores.values())

    @property
    def digest(self) -> str:
        """Digest of the committed entries of all stores: 16 hex digits in groups of four."""
        return digest_of({name: store.checksum for name, store in self.stores.items()})

    def stage(self) -> None:
        """Stage the changes of a successful attempt in all stores; raise ValueError and stage none if one can't be."""
        encoded = [store.encoded_attempt() for store in self.stores.values()]
        for store, changes in zip(self.stores.values(), encoded, strict=True):
            store.stage(changes)

    def discard(self) -> None:
        """Drop the changes of a failed attempt."""
        for store in self.stores.values():
            store.discard()

    def commit(self) -> None:
        """Make the pending changes the committed state; call it after the transaction was committed."""
        for store in self.stores.values():
            store.commit()

    def rollback(self) -> None:
        """Drop the pending changes; call it after the transaction was aborted."""
        for store in self.stores.values():
            store.rollback()


def digest_of(checksums: Mapping[str, int]) -> str:
    """Return the digest of a state from the checksum of each store, by store name."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(checksums):
        digest.update(f"{name} {checksums[name]:x}\n".encode())
    digits = digest.hexdigest()
    return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _checksum(key: str, value: bytes) -> int:
    return int.from_bytes(blake2b(b"%b\0%b" % (key.encode(), value), digest_size=_CHECKSUM_BYTES).digest())
