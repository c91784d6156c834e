"""State of a step: stores by partition, kept encoded, restored from their changelogs.

This is the one place where fields of state are written and read, so that encryption of fields can be put in here. Three
layers, read from the top: what the attempt at hand put, what the open transaction holds (encoded), what is committed
(encoded, as the changelog has it). Only a committed transaction moves anything into the lowest.

The lowest layer has a digest, kept up with every change, whatever the order they came in: a state that was restored can
be held against the one that was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from schemas.codec import Codec
from schemas.tables import rows_from_table, table_from_rows
from streams.errors import StateError

#: Values by key, as the changelog has them; None is a tombstone.
Changes = dict[str, bytes | None]

#: Bytes of an entry's mark, and of a digest as it is told.
_CHECKSUM_BYTES: Final = 16
_DIGEST_BYTES: Final = 8


class PartitionStore:
    """One store in one partition (`streams.contract.Store`)."""

    def __init__(self, codec: Codec, schema: str, value_bytes_max: int) -> None:
        self._codec, self._schema, self._value_bytes_max = codec, schema, value_bytes_max
        self.committed: dict[str, bytes] = {}
        #: The sum of all entries' marks, modulo 2^128: the same for the same entries, in whatever order they came.
        self.checksum = 0
        self.pending: Changes = {}
        self._attempt: dict[str, dict[str, Any] | None] = {}
        self._decoded: dict[str, dict[str, Any]] = {}

    def get_many(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The values of those keys that have one; what isn't decoded yet is decoded together."""
        wanted = list(dict.fromkeys(keys))
        self._decode([key for key in wanted if key not in self._attempt and key not in self._decoded])
        found = ((key, self._attempt.get(key, self._decoded.get(key))) for key in wanted)
        return {key: value for key, value in found if value is not None}

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Sets a value; committed with the transaction."""
        self._attempt[key] = dict(value)

    def delete(self, key: str) -> None:
        """Forgets a key; committed with the transaction."""
        self._attempt[key] = None

    def stage(self) -> None:
        """The attempt succeeded: its changes are encoded, and go into the transaction.

        ValueError for a value that does not fit the schema, or is larger than a record may be.
        """
        puts = {key: value for key, value in self._attempt.items() if value is not None}
        encoded: Changes = dict.fromkeys(self._attempt)
        encoded.update(zip(puts, self._encode(list(puts.values())), strict=True))
        self.pending.update(encoded)
        # What is read next comes from the encoded value, as after a restore: no difference by the cut of batches.
        self.discard()

    def discard(self) -> None:
        """The attempt failed: nothing of it was ever so."""
        self._attempt.clear()
        self._decoded.clear()

    def commit(self) -> None:
        """The transaction is committed."""
        self.restore(self.pending.items())
        self.rollback()

    def rollback(self) -> None:
        """The transaction is aborted."""
        self.discard()
        self.pending.clear()

    def restore(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Takes in records of the changelog, in their order, as they are."""
        committed, mark = self.committed, self.checksum
        for key, value in entries:
            before = committed.pop(key, None) if value is None else committed.get(key)
            if before is not None:
                mark -= _checksum(key, before)
            if value is not None:
                committed[key] = value
                mark += _checksum(key, value)
        self.checksum = mark % (1 << 8 * _CHECKSUM_BYTES)

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
        if not rows:
            return []
        table = table_from_rows(self._schema, rows, self._codec.catalogue)
        values: list[bytes] = self._codec.encode(self._schema, table).to_pylist()
        if max(map(len, values)) > self._value_bytes_max:
            raise ValueError(f"a value of {self._schema} is larger than a record may be")
        return values

    def _decode(self, keys: Sequence[str]) -> None:
        found = ((key, self.pending.get(key, self.committed.get(key))) for key in keys)
        # None is absent, or a tombstone pending over what is committed.
        raw = {key: value for key, value in found if value is not None}
        if not raw:
            return
        decoded = self._codec.decode(self._schema, list(raw.values()))
        if len(decoded.row_indices) != len(raw):
            raise StateError(f"a value of {self._schema} can't be read")
        self._decoded.update(zip(raw, rows_from_table(decoded.table), strict=True))


class PartitionState:
    """All stores of one partition (`streams.contract.State`); `stores` are schemas by name."""

    def __init__(self, codec: Codec, stores: Mapping[str, str], value_bytes_max: int) -> None:
        self.stores = {
            name: PartitionStore(codec, schema, value_bytes_max) for name, schema in stores.items()
        }

    def __getitem__(self, store: str) -> PartitionStore:
        return self.stores[store]

    @property
    def entries(self) -> int:
        """How many there are, in all stores."""
        return sum(len(store.committed) for store in self.stores.values())

    @property
    def digest(self) -> str:
        """The same for the same committed entries of the same stores: 16 hexadecimal digits, in fours."""
        return digest_of({name: store.checksum for name, store in self.stores.items()})

    def stage(self) -> None:
        """The attempt succeeded: its changes go into the transaction. All of them, or ValueError and none."""
        held = {name: dict(store.pending) for name, store in self.stores.items()}
        try:
            for store in self.stores.values():
                store.stage()
        except Exception:
            for name, store in self.stores.items():
                store.pending = held[name]
            raise

    def discard(self) -> None:
        """The attempt failed."""
        for store in self.stores.values():
            store.discard()

    def commit(self) -> None:
        """The transaction is committed."""
        for store in self.stores.values():
            store.commit()

    def rollback(self) -> None:
        """The transaction is aborted."""
        for store in self.stores.values():
            store.rollback()


def digest_of(marks: Mapping[str, int]) -> str:
    """The digest of stores by name, of which each has this mark."""
    told = blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(marks):
        told.update(f"{name} {marks[name]:x}\n".encode())
    text = told.hexdigest()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _checksum(key: str, value: bytes) -> int:
    return int.from_bytes(blake2b(b"%b\0%b" % (key.encode(), value), digest_size=_CHECKSUM_BYTES).digest())
