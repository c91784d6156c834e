"""The catalogue: schemas by name and version. The newest version of a name is the reader schema.

The library that reads and writes a schema is chosen once per schema, not per record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Literal

import fastavro
import pyarrow as pa
import pyruhvro
from fastavro.schema import SchemaParseException

from schemas import schema_files
from schemas.arrow import arrow_schema
from schemas.types import AvroType, UnsupportedSchemaError, parse_type

Engine = Literal["pyruhvro", "fastavro"]

#: pyruhvro 0.4.0 panics on values of these types. It reports other unsupported types when it converts the schema.
_NOT_FOR_PYRUHVRO: Final = frozenset({"bytes"})


@dataclass(frozen=True)
class Schema:
    """One Avro schema: its text as registered, and what is derived from it.

    `name` and `version` are those of the catalogue; the schema of a foreign writer has "" and 0.
    """

    text: str
    name: str = ""
    version: int = 0

    @cached_property
    def json(self) -> Any:
        """The parsed text. Raises UnsupportedSchemaError if it isn't JSON."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise UnsupportedSchemaError("not JSON") from error

    @cached_property
    def compact(self) -> str:
        """The text without `doc`: pyruhvro parses it again for every batch."""
        return json.dumps(_without_docs(self.json), separators=(",", ":"))

    @cached_property
    def type(self) -> AvroType:
        """The type tree. Raises UnsupportedSchemaError if it isn't a record, or has types that can't be columns."""
        parsed = parse_type(self.json)
        if parsed.kind != "record" or parsed.nullable:
            raise UnsupportedSchemaError("the schema is not that of a record")
        return parsed

    @cached_property
    def fastavro(self) -> Any:
        """The schema as parsed by fastavro. Raises UnsupportedSchemaError if it breaks a rule of Avro."""
        try:
            return fastavro.parse_schema(self.json)
        except (SchemaParseException, KeyError, TypeError, AttributeError) as error:
            raise UnsupportedSchemaError("not a valid Avro schema") from error

    @cached_property
    def arrow(self) -> pa.Schema:
        """The columns of tables of this schema."""
        return arrow_schema(self.type)

    @cached_property
    def engine(self) -> Engine:
        """The library to use: pyruhvro if it supports the schema, else fastavro."""
        if not _kinds(self.type).isdisjoint(_NOT_FOR_PYRUHVRO):
            return "fastavro"
        try:
            pyruhvro.avro_to_arrow_schema(self.compact)
        except BaseException as error:  # A panic of pyruhvro is not an Exception.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return "fastavro"
        return "pyruhvro"


class Catalogue:
    """Schemas by name and version. `texts` (name → version → text) replaces the files in tests."""

    def __init__(self, texts: Mapping[str, Mapping[int, str]] | None = None) -> None:
        self._texts = texts
        self._schemas: dict[tuple[str, int], Schema] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return schema_files.schema_names() if self._texts is None else tuple(sorted(self._texts))

    def versions(self, name: str) -> tuple[int, ...]:
        """Return the versions of a name, oldest first. Raise KeyError for an unknown name."""
        return schema_files.versions(name) if self._texts is None else tuple(sorted(self._texts[name]))

    def schema(self, name: str, version: int | None = None) -> Schema:
        """Return a version of a name, by default the newest. Raise KeyError if there is none."""
        number = self.versions(name)[-1] if version is None else version
        if (name, number) not in self._schemas:
            self._schemas[name, number] = Schema(self._text(name, number), name, number)
        return self._schemas[name, number]

    def arrow_schema(self, name: str) -> pa.Schema:
        """Return the columns of a name's newest version."""
        return self.schema(name).arrow

    def engine(self, name: str) -> Engine:
        """Return the library that reads and writes a name's newest version."""
        return self.schema(name).engine

    def _text(self, name: str, version: int) -> str:
        return schema_files.schema_text(name, version) if self._texts is None else self._texts[name][version]


@cache
def catalogue() -> Catalogue:
    """Return the catalogue of the released files; each file is read at its first use."""
    return Catalogue()


def _without_docs(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_docs(item) for item in part]
    if isinstance(part, dict):
        # A default may be an object with a key "doc", so defaults stay as they are. Field names are values, not keys.
        return {
            key: value if key == "default" else _without_docs(value)
            for key, value in part.items()
            if key != "doc"
        }
    return part


def _kinds(avro: AvroType) -> set[str]:
    inner = [field.type for field in avro.fields] + ([avro.items] if avro.items else [])
    return {avro.kind}.union(*(_kinds(inner_type) for inner_type in inner))
