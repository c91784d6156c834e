"""Ids of schemas in the wire format: what the codec asks, and an answer without a registry."""

from __future__ import annotations

from typing import Protocol

from schemas.catalogue import Catalogue, Schema


class SchemaIds(Protocol):
    """Ids by schema, and schemas by id, as one registry gives them."""

    def id_of(self, name: str, version: int) -> int:
        """The id under which a version of the catalogue is registered; an error where it isn't."""

    def writer(self, schema_id: int) -> Schema | None:
        """The schema that a record with this id was written by; None where the registry has no such id.

        May ask a server, and then keeps the answer. An error where the server can't be asked: nothing is known of the
        record then, and it is no fault of the record's.
        """


class LocalSchemaIds:
    """Ids without a registry, counted from 1 through the catalogue; foreign schemas get the next ones.

    Equal for equal catalogues, so that tests and the driver are repeatable.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        every = [
            catalogue.schema(name, version)
            for name in catalogue.names
            for version in catalogue.versions(name)
        ]
        self._by_id = dict(enumerate(every, start=1))
        self._ids = {(schema.name, schema.version): number for number, schema in self._by_id.items()}

    def id_of(self, name: str, version: int) -> int:
        """The id of a version of the catalogue; KeyError for what isn't there."""
        return self._ids[name, version]

    def writer(self, schema_id: int) -> Schema | None:
        """The schema of an id; None for an unknown one."""
        return self._by_id.get(schema_id)

    def register(self, text: str) -> int:
        """Takes in the schema of a foreign writer, and gives its id."""
        schema_id = len(self._by_id) + 1
        self._by_id[schema_id] = Schema(text)
        return schema_id
