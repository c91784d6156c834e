"""Conversion between Kafka record values in Confluent's wire format and Arrow tables, one batch at a time.

A value is a zero byte, the writer schema's ID (4 bytes, big-endian), and the record in Avro. One undecodable record
doesn't make the batch fail: it is reported with a short reason that contains none of its data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas import engines
from schemas.catalogue import Catalogue, Schema
from schemas.ids import SchemaIds
from schemas.resolution import IncompatibleError, table_resolver
from schemas.tables import EncodeError, fit_to_schema
from schemas.types import UnsupportedSchemaError
from schemas.violations import violations

_MAGIC: Final = b"\x00"
_PREFIX_BYTES: Final = 5
#: Maximum number of writer schemas that a codec caches. More of them can only come from a bug or an attack.
_WRITERS_MAX: Final = 1024


@dataclass(frozen=True)
class DecodeFailure:
    """Why the value at `index` can't be decoded: a short code without any of its data."""

    index: int
    reason: str


@dataclass(frozen=True)
class Decoded:
    """Decoded values: `table` has the reader schema's columns, `row_indices` (int64) the index of each row's value.

    `row_indices` ascend. `failures` are the values that can't be decoded, `tombstones` the indices of null values.
    Every index is in exactly one of the three.
    """

    table: pa.Table
    row_indices: pa.Array
    failures: tuple[DecodeFailure, ...] = ()
    tombstones: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Writer:
    """A writer's schema, and the function that converts its tables to the reader's schema."""

    schema: Schema
    resolve: Callable[[pa.Table], pa.Table]


class Codec:
    """Encodes and decodes values of the catalogue's schemas; `ids` may ask a registry."""

    def __init__(self, catalogue: Catalogue, ids: SchemaIds) -> None:
        self.catalogue = catalogue
        self.ids = ids
        self._writers: dict[tuple[str, int], _Writer | str] = {}

    def encode(self, name: str, table: pa.Table, version: int | None = None) -> pa.BinaryArray:
        """Return a value per row, in the order of the rows, in the newest version or the given one.

        Columns may be in any order, and those with a default may be missing. Raise EncodeError for a column that is
        missing, unknown or of another type, and for a value that the schema doesn't allow.
        """
        schema = self.catalogue.schema(name, version)
        fitted = fit_to_schema(schema, table)
        for violation in violations(schema.type, fitted):
            raise EncodeError(
                f"{name}.{violation.path}: {violation.reason} ({len(violation.rows)} of {table.num_rows} rows)"
            )
        try:
            records = engines.write(schema, fitted)
        except engines.EngineError as error:
            raise EncodeError(f"{name}: {error}") from None
        prefix = pa.scalar(prefix_of(self.ids.id_of(name, schema.version)), pa.binary())
        return pc.binary_join_element_wise(prefix, records, pa.scalar(b"", pa.binary()))

    def decode(self, name: str, values: pa.BinaryArray | Sequence[bytes | None]) -> Decoded:
        """Return the values as rows of the newest version. Raise only errors of `ids`, and KeyError for the name."""
        value_list: Sequence[bytes | None] = values.to_pylist() if isinstance(values, pa.Array) else values
        decoder = _BatchDecoder(self.catalogue.schema(name))
        for prefix, indices in _by_prefix(value_list, decoder).items():
            writer = self._writer(name, prefix)
            records = [
                value[_PREFIX_BYTES:] for value in map(value_list.__getitem__, indices) if value is not None
            ]
            if isinstance(writer, str):
                decoder.fail(indices, writer)
            else:
                decoder.read(writer, records, indices)
        return decoder.decoded()

    def _writer(self, name: str, prefix: bytes) -> _Writer | str:
        """Return the writer that a prefix names, or the reason why its records can't be decoded."""
        if len(prefix) != _PREFIX_BYTES or prefix[:1] != _MAGIC:
            return "not-wire-format"
        key = name, int.from_bytes(prefix[1:], "big")
        if key not in self._writers:
            schema = self.ids.writer(key[1])
            if schema is None:
                return "schema-id-unknown"
            if len(self._writers) >= _WRITERS_MAX:
                self._writers.clear()
            self._writers[key] = _writer_for(schema, self.catalogue.schema(name))
        return self._writers[key]


def prefix_of(schema_id: int) -> bytes:
    """Return the first five bytes of a value."""
    return _MAGIC + struct.pack(">I", schema_id)


def _writer_for(schema: Schema, reader: Schema) -> _Writer | str:
    try:
        return _Writer(schema, table_resolver(schema.type, reader.type))
    except IncompatibleError:
        return "schema-incompatible"
    except UnsupportedSchemaError:
        return "schema-unsupported"


def _by_prefix(values: Sequence[bytes | None], decoder: _BatchDecoder) -> dict[bytes, list[int]]:
    groups: dict[bytes, list[int]] = {}
    for index, value in enumerate(values):
        if value is None:
            decoder.tombstones.append(index)
        else:
            groups.setdefault(value[:_PREFIX_BYTES], []).append(index)
    return groups


class _BatchDecoder:
    """Collects the decoded tables, the failures and the tombstones of one batch."""

    def __init__(self, reader: Schema) -> None:
        self._reader = reader
        self._tables: list[pa.Table] = []
        self._indices: list[int] = []
        self._failures: list[DecodeFailure] = []
        self.tombstones: list[int] = []

    def fail(self, indices: Iterable[int], reason: str) -> None:
        """Record that the values at these indices can't be decoded."""
        self._failures.extend(DecodeFailure(index, reason) for index in indices)

    def read(self, writer: _Writer, records: Sequence[bytes], indices: Sequence[int]) -> None:
        """Decode all records of one writer. A valid batch costs one call; invalid records are found by bisection."""
        try:
            table = writer.resolve(engines.read(writer.schema, records))
        except engines.EngineError:
            if len(records) == 1:
                self.fail(indices, "malformed")
                return
            half = len(records) // 2
            self.read(writer, records[:half], indices[:half])
            self.read(writer, records[half:], indices[half:])
            return
        self._add(table, indices)

    def _add(self, table: pa.Table, indices: Sequence[int]) -> None:
        invalid = {
            row for violation in violations(self._reader.type, table) for row in violation.rows.to_pylist()
        }
        if invalid:
            self.fail((indices[row] for row in invalid), "value-not-allowed")
            valid = [row for row in range(len(indices)) if row not in invalid]
            table, indices = table.take(pa.array(valid, pa.int64())), [indices[row] for row in valid]
        self._tables.append(table)
        self._indices.extend(indices)

    def decoded(self) -> Decoded:
        """Return the rows in the order of the values."""
        if not self._tables:
            self._tables.append(self._reader.arrow.empty_table())
        row_indices, table = pa.array(self._indices, pa.int64()), self._tables[0]
        if len(self._tables) > 1:
            order = pc.sort_indices(row_indices)
            row_indices, table = row_indices.take(order), pa.concat_tables(self._tables).take(order)
        failures = tuple(sorted(self._failures, key=lambda failure: failure.index))
        return Decoded(table, row_indices, failures, tuple(self.tombstones))
