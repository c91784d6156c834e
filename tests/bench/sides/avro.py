"""Records as dicts, decoded and encoded one at a time by fastavro in Confluent's wire format."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import fastavro
import orjson

from infra.apply.installation import Installation
from schemas.catalogue import catalogue
from schemas.codec import prefix_of

_PREFIX_BYTES: Final = 5


class Avro:
    """Decodes and encodes records of the catalogue's newest schemas, with the schema IDs of an installation."""

    def __init__(self, installation: Installation) -> None:
        self._ids: dict[str, dict[str, int]] = orjson.loads(installation.schema_ids.read_bytes())
        self._schemas: dict[str, tuple[bytes, Any]] = {}

    def read(self, name: str, value: bytes) -> dict[str, Any]:
        """Decode a value."""
        _, schema = self._schema(name)
        content: Any = fastavro.schemaless_reader(io.BytesIO(value[_PREFIX_BYTES:]), schema, None)
        return dict(content)

    def write(self, name: str, content: Mapping[str, Any]) -> bytes:
        """Encode a dict as a value."""
        prefix, schema = self._schema(name)
        out = io.BytesIO()
        out.write(prefix)
        fastavro.schemaless_writer(out, schema, content)
        return out.getvalue()

    def _schema(self, name: str) -> tuple[bytes, Any]:
        if name not in self._schemas:
            schema = catalogue().schema(name)
            self._schemas[name] = prefix_of(self._ids[name][str(schema.version)]), schema.fastavro
        return self._schemas[name]
