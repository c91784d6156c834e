"""The schemas by name and version; the newest version of a name is the reader schema.

Which library reads and writes a schema is decided when it is loaded, never per record.
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

#: pyruhvro 0.4.0 panics on bytes and fixed; what else it can't do is found by asking it for the Arrow schema.
_NOT_FOR_PYRUHVRO: Final = frozenset({"bytes"})


@dataclass(frozen=True)
class Schema:
    """One Avro schema: its text as registered, its type, its columns, the library that reads and writes it.

    `name` and `version` are those of the catalogue; a foreign writer's schema has neither ("" and 0).
    """

    text: str
    name: str = ""
    version: int = 0

    @cached_property
    def json(self) -> Any:
        """The text, parsed; UnsupportedSchemaError where it isn't JSON."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise UnsupportedSchemaError("not JSON") from error

    @cached_property
    def compact(self) -> str:
        """The text without what is written for people: pyruhvro parses it again for every batch."""
        return json.dumps(_without_docs(self.json), separators=(",", ":"))

    @cached_property
    def type(self) -> AvroType:
        """The record; UnsupportedSchemaError where it is something else, or can't be columns."""
        parsed = parse_type(self.json)
        if parsed.kind != "record" or parsed.nullable:
            raise UnsupportedSchemaError("a record's schema is wanted")
        return parsed

    @cached_property
    def fastavro(self) -> Any:
        """The schema as fastavro takes it; UnsupportedSchemaError where it breaks a rule of Avro."""
        try:
            return fastavro.parse_schema(self.json)
        except (SchemaParseException, KeyError, TypeError, AttributeError) as error:
            raise UnsupportedSchemaError("not a valid Avro schema") from error

    @cached_property
    def arrow(self) -> pa.Schema:
        """Its columns."""
        return arrow_schema(self.type)

    @cached_property
    def engine(self) -> Engine:
        """pyruhvro where it can, fastavro for all else."""
        if not _kinds(self.type).isdisjoint(_NOT_FOR_PYRUHVRO):
            return "fastavro"
        try:
            pyruhvro.avro_to_arrow_schema(self.compact)
        except BaseException as error:  # pyruhvro's panics aren't Exceptions
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return "fastavro"
        return "pyruhvro"


class Catalogue:
    """Schemas by name and version. `texts` replaces the files (for tests): name → version → text."""

    def __init__(self, texts: Mapping[str, Mapping[int, str]] | None = None) -> None:
        self._texts = texts
        self._schemas: dict[tuple[str, int], Schema] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return schema_files.schema_names() if self._texts is None else tuple(sorted(self._texts))

    def versions(self, name: str) -> tuple[int, ...]:
        """Versions of a name, oldest first; KeyError for an unknown name."""
        return schema_files.versions(name) if self._texts is None else tuple(sorted(self._texts[name]))

    def schema(self, name: str, version: int | None = None) -> Schema:
        """A version of a name, by default the newest; KeyError for what isn't there."""
        number = self.versions(name)[-1] if version is None else version
        if (name, number) not in self._schemas:
            self._schemas[name, number] = Schema(self._text(name, number), name, number)
        return self._schemas[name, number]

    def arrow_schema(self, name: str) -> pa.Schema:
        """Columns of a name's newest version."""
        return self.schema(name).arrow

    def engine(self, name: str) -> Engine:
        """The library that reads and writes a name's newest version."""
        return self.schema(name).engine

    def _text(self, name: str, version: int) -> str:
        return schema_files.schema_text(name, version) if self._texts is None else self._texts[name][version]


@cache
def catalogue() -> Catalogue:
    """The catalogue of the released files; each is read when it is first asked for."""
    return Catalogue()


def _without_docs(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_docs(each) for each in part]
    if isinstance(part, dict):
        # A field may well be called "doc": its name is a value, never a key; defaults are let be.
        return {
            key: each if key == "default" else _without_docs(each)
            for key, each in part.items()
            if key != "doc"
        }
    return part


def _kinds(avro: AvroType) -> set[str]:
    inner = [field.type for field in avro.fields] + ([avro.items] if avro.items else [])
    return {avro.kind}.union(*(_kinds(each) for each in inner))
