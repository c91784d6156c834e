"""Schema IDs of the wire format: the interface that the codec uses, and an implementation without a registry."""

from __future__ import annotations

from typing import Protocol

from schemas.catalogue import Catalogue, Schema


class SchemaIds(Protocol):
    """The IDs under which schemas are registered, in both directions."""

    def id_of(self, name: str, version: int) -> int:
        """Return the ID of a version in the catalogue. Raise an error if it isn't registered."""

    def writer(self, schema_id: int) -> Schema | None:
        """Return the schema with this ID, by which a record was written; None if the registry has no such ID.

        May ask a server, and caches the answer. Raise an error if the server can't be asked: nothing is known about
        the record then, so it must not be treated as undecodable.
        """


class LocalSchemaIds:
    """IDs without a registry: counted from 1 through the catalogue; foreign schemas get the next ones.

    They are equal for equal catalogues, so tests are repeatable.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        schemas = [
            catalogue.schema(name, version)
            for name in catalogue.names
            for version in catalogue.versions(name)
        ]
        self._by_id = dict(enumerate(schemas, start=1))
        self._ids = {(schema.name, schema.version): number for number, schema in self._by_id.items()}

    def id_of(self, name: str, version: int) -> int:
        """Return the ID of a version in the catalogue. Raise KeyError if there is none."""
        return self._ids[name, version]

    def writer(self, schema_id: int) -> Schema | None:
        """Return the schema with this ID, or None."""
        return self._by_id.get(schema_id)

    def register(self, text: str) -> int:
        """Register the schema of a foreign writer and return its ID."""
        schema_id = len(self._by_id) + 1
        self._by_id[schema_id] = Schema(text)
        return schema_id
