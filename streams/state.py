"""State of a step: stores by partition, kept encoded, restored from their changelogs.

This is the one place where fields of state are written and read, so that encryption of fields can be put in here. Values
stay as the bytes of their records until asked for; changes are encoded by batches, when the transaction takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from schemas.codec import Codec
from schemas.tables import table_from_rows


class StateError(RuntimeError):
    """A changelog can't be read: the worker must not go on from half a state."""


class PartitionStore:
    """One store in one partition (`streams.contract.Store`): what is committed, and over it what is pending."""

    def __init__(self, codec: Codec, schema: str) -> None:
        self._codec = codec
        self._schema = schema
        self._committed: dict[str, bytes] = {}
        self._pending: dict[str, Mapping[str, Any] | None] = {}

    def __len__(self) -> int:
        return len(self._committed)

    def get_many(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The values of those keys that have one; decoded together."""
        found: dict[str, dict[str, Any]] = {}
        encoded: dict[str, bytes] = {}
        for key in dict.fromkeys(keys):
            if key in self._pending:
                pending = self._pending[key]
                if pending is not None:
                    found[key] = dict(pending)
            elif key in self._committed:
                encoded[key] = self._committed[key]
        if encoded:
            found.update(zip(encoded, self._rows(list(encoded.values())), strict=True))
        return found

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Sets a value, pending until the transaction is committed."""
        self._pending[key] = value

    def delete(self, key: str) -> None:
        """Forgets a key, pending until the transaction is committed."""
        self._pending[key] = None

    def restore(self, key: str, value: bytes | None) -> None:
        """Takes in one record of the changelog, as it is."""
        if value is None:
            self._committed.pop(key, None)
        else:
            self._committed[key] = value

    def changes(self) -> dict[str, bytes | None]:
        """What is pending, encoded for the changelog; None is a tombstone."""
        puts = {key: value for key, value in self._pending.items() if value is not None}
        table = table_from_rows(self._schema, list(puts.values()), self._codec.catalogue)
        encoded: dict[str, bytes | None] = dict.fromkeys(self._pending)
        encoded.update(zip(puts, self._codec.encode(self._schema, table).to_pylist(), strict=True))
        return encoded

    def commit(self, changes: Mapping[str, bytes | None]) -> None:
        """The transaction that carried `changes` is committed."""
        for key, value in changes.items():
            self.restore(key, value)
        self._pending.clear()

    def rollback(self) -> None:
        """The transaction is aborted: nothing of it was ever so."""
        self._pending.clear()

    def _rows(self, values: list[bytes]) -> list[dict[str, Any]]:
        decoded = self._codec.decode(self._schema, pa.array(values, pa.binary()))
        if len(decoded.kept) != len(values):
            raise StateError(f"a value of {self._schema} can't be read: {decoded.faults[0].reason}")
        rows: list[dict[str, Any]] = decoded.table.to_pylist()
        return rows


class PartitionState:
    """All stores of one partition (`streams.contract.State`)."""

    def __init__(self, codec: Codec, stores: Mapping[str, str]) -> None:
        self._stores = {name: PartitionStore(codec, schema) for name, schema in stores.items()}

    def __getitem__(self, store: str) -> PartitionStore:
        return self._stores[store]

    def changes(self) -> dict[str, dict[str, bytes | None]]:
        """What is pending, by store."""
        return {name: changes for name, store in self._stores.items() if (changes := store.changes())}

    def commit(self, changes: Mapping[str, Mapping[str, bytes | None]]) -> None:
        """The transaction that carried `changes` is committed."""
        for name, store in self._stores.items():
            store.commit(changes.get(name, {}))

    def rollback(self) -> None:
        """The transaction is aborted."""
        for store in self._stores.values():
            store.rollback()
