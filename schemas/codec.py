"""Kafka record values and Arrow tables: Confluent's wire format, a batch at a time.

A value is a zero byte, the writer schema's id (4 bytes, big-endian), and the record in Avro. Reading never fails for
the batch because of a record: what can't be read is a fault with a short reason, and holds no data of it.
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
from schemas.tables import EncodeError, fit
from schemas.types import UnsupportedSchemaError
from schemas.violations import violations

_MAGIC: Final = b"\x00"
_PREFIX_BYTES: Final = 5
#: Writers that one codec keeps ready; more than that within one topic is a mistake of ours or an attack.
_WRITERS_MAX: Final = 1024


@dataclass(frozen=True)
class DecodeFailure:
    """The value at `index` can't be read, for a short reason without data of it."""

    index: int
    reason: str


@dataclass(frozen=True)
class Decoded:
    """What values became: `table` has the reader schema's columns, `kept` (int64) the index of each row's value.

    `kept` ascends. `tombstones` are the indices of null values. Every index is in exactly one of kept, faults and
    tombstones.
    """

    table: pa.Table
    row_indices: pa.Array
    faults: tuple[DecodeFailure, ...] = ()
    tombstones: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Writer:
    """A writer's schema, and the way of its columns to the reader's."""

    schema: Schema
    resolve: Callable[[pa.Table], pa.Table]


class Codec:
    """Reads and writes values of the catalogue's schemas; ids come from `ids`, which may ask a registry."""

    def __init__(self, catalogue: Catalogue, ids: SchemaIds) -> None:
        self.catalogue = catalogue
        self._ids = ids
        self._writers: dict[tuple[str, int], _Writer | str] = {}

    def encode(self, name: str, table: pa.Table, version: int | None = None) -> pa.BinaryArray:
        """A value per row, in the order of the rows, by the newest version or the one given.

        Columns may come in any order, and those with a default may be left away. EncodeError for a column that is
        missing, unknown or of another type, and for a value that the schema doesn't allow.
        """
        schema = self.catalogue.schema(name, version)
        fitted = fit(schema, table)
        for broken in violations(schema.type, fitted):
            raise EncodeError(
                f"{name}.{broken.path}: {broken.reason} ({len(broken.rows)} of {table.num_rows} rows)"
            )
        try:
            records = engines.write(schema, fitted)
        except engines.EngineError as error:
            raise EncodeError(f"{name}: {error}") from None
        prefix = pa.scalar(prefix_of(self._ids.id_of(name, schema.version)), pa.binary())
        return pc.binary_join_element_wise(prefix, records, pa.scalar(b"", pa.binary()))

    def decode(self, name: str, values: pa.BinaryArray | Sequence[bytes | None]) -> Decoded:
        """The values as rows of the newest version; see `Decoded`. Errors only of `ids`, and for an unknown name."""
        taken: Sequence[bytes | None] = values.to_pylist() if isinstance(values, pa.Array) else values
        reading = _Reading(self.catalogue.schema(name))
        for prefix, indices in _by_prefix(taken, reading).items():
            writer = self._writer(name, prefix)
            records = [
                value[_PREFIX_BYTES:] for value in map(taken.__getitem__, indices) if value is not None
            ]
            if isinstance(writer, str):
                reading.refuse(indices, writer)
            else:
                reading.read(writer, records, indices)
        return reading.decoded()

    def _writer(self, name: str, prefix: bytes) -> _Writer | str:
        if len(prefix) != _PREFIX_BYTES or prefix[:1] != _MAGIC:
            return "not-wire-format"
        key = name, int.from_bytes(prefix[1:], "big")
        if key not in self._writers:
            schema = self._ids.writer(key[1])
            if schema is None:
                return "schema-id-unknown"
            if len(self._writers) >= _WRITERS_MAX:
                self._writers.clear()
            self._writers[key] = _writer_for(schema, self.catalogue.schema(name))
        return self._writers[key]


def prefix_of(schema_id: int) -> bytes:
    """The first five bytes of a value."""
    return _MAGIC + struct.pack(">I", schema_id)


def _writer_for(schema: Schema, reader: Schema) -> _Writer | str:
    try:
        return _Writer(schema, table_resolver(schema.type, reader.type))
    except IncompatibleError:
        return "schema-incompatible"
    except UnsupportedSchemaError:
        return "schema-unsupported"


def _by_prefix(values: Sequence[bytes | None], reading: _Reading) -> dict[bytes, list[int]]:
    groups: dict[bytes, list[int]] = {}
    for index, value in enumerate(values):
        if value is None:
            reading.tombstones.append(index)
        else:
            groups.setdefault(value[:_PREFIX_BYTES], []).append(index)
    return groups


class _Reading:
    """One batch on its way to `Decoded`."""

    def __init__(self, reader: Schema) -> None:
        self._reader = reader
        self._tables: list[pa.Table] = []
        self._indices: list[int] = []
        self._faults: list[DecodeFailure] = []
        self.tombstones: list[int] = []

    def refuse(self, indices: Iterable[int], reason: str) -> None:
        """These values can't be read."""
        self._faults.extend(DecodeFailure(index, reason) for index in indices)

    def read(self, writer: _Writer, records: Sequence[bytes], indices: Sequence[int]) -> None:
        """All records of one writer; the bad ones are found by halving, so that a good batch costs one call."""
        try:
            table = writer.resolve(engines.read(writer.schema, records))
        except engines.EngineError:
            if len(records) == 1:
                self.refuse(indices, "malformed")
                return
            half = len(records) // 2
            self.read(writer, records[:half], indices[:half])
            self.read(writer, records[half:], indices[half:])
            return
        self._keep(table, indices)

    def _keep(self, table: pa.Table, indices: Sequence[int]) -> None:
        broken = {row for found in violations(self._reader.type, table) for row in found.rows.to_pylist()}
        if broken:
            self.refuse((indices[row] for row in broken), "value-not-allowed")
            good = [row for row in range(len(indices)) if row not in broken]
            table, indices = table.take(pa.array(good, pa.int64())), [indices[row] for row in good]
        self._tables.append(table)
        self._indices.extend(indices)

    def decoded(self) -> Decoded:
        """The rows in the order of the values."""
        if not self._tables:
            self._tables.append(self._reader.arrow.empty_table())
        kept, table = pa.array(self._indices, pa.int64()), pa.concat_tables(self._tables)
        if len(self._tables) > 1:
            order = pc.sort_indices(kept)
            kept, table = kept.take(order), table.take(order)
        faults = tuple(sorted(self._faults, key=lambda fault: fault.index))
        return Decoded(table, kept, faults, tuple(self.tombstones))
