"""Conversion between Avro records (without wire format) and Arrow tables, by the library of a schema's `engine`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import fastavro
import pyarrow as pa
import pyruhvro

from schemas.catalogue import Engine, Schema


class EngineError(Exception):
    """A batch can't be read or written. The message has none of its content; the libraries' messages would."""


def read(schema: Schema, records: Sequence[bytes]) -> pa.Table:
    """Return records as columns of their writer's schema. Raise EngineError if one of them can't be read."""
    try:
        table = READERS[schema.engine](schema, records)
        # Neither library checks that text is UTF-8 before it puts it into a column.
        table.validate(full=True)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # A panic of pyruhvro is not an Exception.
        raise EngineError(f"a batch of {len(records)} can't be read: {type(error).__name__}") from None
    return table


def write(schema: Schema, table: pa.Table) -> pa.BinaryArray:
    """Return the rows as records, in their order. Raise EngineError if one of them can't be written."""
    try:
        return WRITERS[schema.engine](schema, table)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # A panic of pyruhvro is not an Exception.
        raise EngineError(f"a batch of {table.num_rows} can't be written: {type(error).__name__}") from None


def _read_columns(schema: Schema, records: Sequence[bytes]) -> pa.Table:
    batch = pyruhvro.deserialize_array(list(records), schema.compact)
    # pyruhvro omits the time zone UTC, which Avro's timestamps have by definition. The values are the same, so the
    # column is viewed as the other type; a cast would go through every nested field.
    columns = [
        column if column.type.equals(field.type) else column.view(field.type)
        for column, field in zip(batch.columns, schema.arrow, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema.arrow)


def _read_rows(schema: Schema, records: Sequence[bytes]) -> pa.Table:
    rows: list[Any] = [
        fastavro.schemaless_reader(io.BytesIO(record), schema.fastavro, None) for record in records
    ]
    return pa.Table.from_pylist(rows, schema=schema.arrow)


def _write_columns(schema: Schema, table: pa.Table) -> pa.BinaryArray:
    if not table.num_rows:
        return pa.array([], pa.binary())
    # The columns are copied, because pyruhvro panics on a slice of a struct within a struct.
    columns = [pa.concat_arrays(column.chunks) for column in table.columns]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema.arrow)
    return pa.concat_arrays(pyruhvro.serialize_record_batch(batch, schema.compact, 1))


def _write_rows(schema: Schema, table: pa.Table) -> pa.BinaryArray:
    return pa.array(
        [_write_row(schema, row) for row in table.to_pylist(maps_as_pydicts="strict")], pa.binary()
    )


def _write_row(schema: Schema, row: dict[str, Any]) -> bytes:
    record = io.BytesIO()
    fastavro.schemaless_writer(record, schema.fastavro, row)
    return record.getvalue()


#: Both libraries return the same table for the same records, and the same records for the same table.
READERS: Final[Mapping[Engine, Callable[[Schema, Sequence[bytes]], pa.Table]]] = {
    "pyruhvro": _read_columns,
    "fastavro": _read_rows,
}
WRITERS: Final[Mapping[Engine, Callable[[Schema, pa.Table], pa.BinaryArray]]] = {
    "pyruhvro": _write_columns,
    "fastavro": _write_rows,
}
