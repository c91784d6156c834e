"""Avro types as Arrow types, the same whichever library reads the bytes.

A day is `date32`, an instant `timestamp[ms, UTC]` or `timestamp[us, UTC]`, an enum and a string `string`, a
record a struct, an array a list, a map a map of strings. Every Arrow field is nullable, so that tables made
by hand compare and concatenate; what Avro requires is checked on the values, at encoding and decoding.
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
    """The Arrow type of a value."""
    if avro.kind == "record":
        return pa.struct([pa.field(each.name, arrow_type(each.type)) for each in avro.fields])
    if avro.kind == "array":
        return pa.list_(arrow_type(avro.item))
    if avro.kind == "map":
        return pa.map_(pa.string(), arrow_type(avro.item))
    return _PLAIN[avro.kind]


def arrow_schema(record: AvroType) -> pa.Schema:
    """A column per field of the record."""
    return pa.schema([pa.field(each.name, arrow_type(each.type)) for each in record.fields])


def default_array(field: Field, length: int) -> pa.Array:
    """The field's default, `length` times; ValueError where it has none."""
    if not field.has_default:
        raise ValueError(f"{field.name} has no default")
    one = pa.array([_python(field.type, field.default)], arrow_type(field.type))
    return one.take(pa.nulls(length, pa.int32()).fill_null(0))


def _python(avro: AvroType, default: Any) -> Any:
    """A JSON default as the value Arrow takes."""
    if default is None:
        return None
    if avro.kind == "bytes":
        return str(default).encode("latin-1")
    if avro.kind == "array":
        return [_python(avro.item, each) for each in default]
    if avro.kind == "map":
        return {key: _python(avro.item, each) for key, each in default.items()}
    if avro.kind == "record":
        return {each.name: _python(each.type, default.get(each.name, each.default)) for each in avro.fields}
    return default
