"""Avro types as Arrow types, the same whichever library reads the bytes.

A date is `date32`, a timestamp `timestamp[ms, UTC]` or `timestamp[us, UTC]`, an enum and a string `string`, a record a
struct, an array a list, a map a map of strings. Every Arrow field is nullable, because otherwise tables made by hand
would not be equal to decoded ones, nor could they be concatenated. Encoding and decoding check that required values
aren't null.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from schemas.types import AvroType, Field

_PLAIN: Final[dict[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
    "date": pa.date32(),
    "timestamp-millis": pa.timestamp("ms", tz="UTC"),
    "timestamp-micros": pa.timestamp("us", tz="UTC"),
}


def arrow_type(avro: AvroType) -> pa.DataType:
    """Return the Arrow type of values of an Avro type."""
    if avro.kind == "record":
        return pa.struct([pa.field(field.name, arrow_type(field.type)) for field in avro.fields])
    if avro.kind == "array":
        return pa.list_(arrow_type(avro.item))
    if avro.kind == "map":
        return pa.map_(pa.string(), arrow_type(avro.item))
    return _PLAIN[avro.kind]


def arrow_schema(record: AvroType) -> pa.Schema:
    """Return a column per field of the record."""
    return pa.schema([pa.field(field.name, arrow_type(field.type)) for field in record.fields])


def default_array(field: Field, length: int) -> pa.Array:
    """Return the field's default `length` times. Raise ValueError if it has none."""
    if not field.has_default:
        raise ValueError(f"field {field.name} has no default")
    if field.default is None:
        return pa.nulls(length, arrow_type(field.type))
    default = pa.array([_arrow_value(field.type, field.default)], arrow_type(field.type))
    return default.take(pa.nulls(length, pa.int32()).fill_null(0))


def _arrow_value(avro: AvroType, default: Any) -> Any:
    """Return a default in JSON as the Python value from which Arrow makes an array."""
    if default is None:
        return None
    if avro.kind == "bytes":
        return str(default).encode("latin-1")
    if avro.kind == "array":
        return [_arrow_value(avro.item, item) for item in default]
    if avro.kind == "map":
        return {key: _arrow_value(avro.item, value) for key, value in default.items()}
    if avro.kind == "record":
        return {
            field.name: _arrow_value(field.type, default.get(field.name, field.default))
            for field in avro.fields
        }
    return default
