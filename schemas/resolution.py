"""Avro's schema resolution on Arrow columns: from a writer's columns to those of the reader's schema.

Fields are matched by name or by the reader's alias. A field that only the reader has gets its default, a field that
only the writer has is dropped, numbers are promoted, and symbols unknown to the reader become its default.
Source: Avro specification 1.12, "Schema Resolution". One rule is stricter: a date or timestamp is only read as the
logical type as which it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import arrow_type, default_array
from schemas.types import AvroType, Field, UnsupportedSchemaError

#: Converts one column from the writer's type to the reader's.
ColumnResolver = Callable[[pa.Array], pa.Array]

_PROMOTIONS: Final = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("bytes", "string"),
    ("string", "bytes"),
}


class IncompatibleError(UnsupportedSchemaError):
    """Records written with this schema can't be read with the reader's."""


def table_resolver(writer: AvroType, reader: AvroType) -> Callable[[pa.Table], pa.Table]:
    """Return a function from tables of the writer's columns to tables of the reader's.

    A null that the writer allows and the reader doesn't stays null; `violations` finds it. Raise IncompatibleError if
    no record can be resolved.
    """
    resolve_record = _record(writer, reader)
    if resolve_record is _same:
        return lambda table: table

    def resolve(table: pa.Table) -> pa.Table:
        struct = pa.StructArray.from_arrays(
            [column.combine_chunks() for column in table.columns], fields=list(table.schema)
        )
        resolved = resolve_record(struct)
        return pa.Table.from_arrays(
            [resolved.field(index) for index in range(len(reader.fields))],
            schema=pa.schema(list(resolved.type)),
        )

    return resolve


def _resolver(writer: AvroType, reader: AvroType) -> ColumnResolver:
    if writer.kind == reader.kind == "record":
        return _record(writer, reader)
    if writer.kind == reader.kind == "enum":
        return _enum(writer, reader)
    if writer.kind == reader.kind and writer.kind in ("array", "map"):
        return _items(writer, reader)
    return _scalar(writer.kind, reader.kind, arrow_type(reader))


def _same(column: pa.Array) -> pa.Array:
    return column


def _scalar(writer: str, reader: str, target: pa.DataType) -> ColumnResolver:
    if writer == reader:
        return _same
    if (writer, reader) not in _PROMOTIONS:
        raise IncompatibleError(f"{writer} can't be read as {reader}")
    # Not safe, because Avro promotes a long to a float even if that loses digits.
    return lambda column: column.cast(target, safe=False)


def _enum(writer: AvroType, reader: AvroType) -> ColumnResolver:
    if writer.name != reader.name:
        raise IncompatibleError(f"enum {writer.name} can't be read as {reader.name}")
    if set(writer.symbols) <= set(reader.symbols):
        return _same
    if reader.enum_default is None:
        raise IncompatibleError(f"enum {reader.name} has no default")
    known, default = pa.array([*reader.symbols, None], pa.string()), reader.enum_default
    return lambda column: pc.if_else(pc.is_in(column, value_set=known), column, default)


def _items(writer: AvroType, reader: AvroType) -> ColumnResolver:
    inner, target = _resolver(writer.item, reader.item), arrow_type(reader)
    if inner is _same:
        return _same

    def resolve_list(column: pa.Array) -> pa.Array:
        mask = pc.is_null(column) if column.null_count else None
        return pa.ListArray.from_arrays(column.offsets, inner(column.values), type=target, mask=mask)

    def resolve_map(column: pa.Array) -> pa.Array:
        mask = pc.is_null(column) if column.null_count else None
        return pa.MapArray.from_arrays(
            column.offsets, column.keys, inner(column.items), type=target, mask=mask
        )

    return resolve_list if writer.kind == "array" else resolve_map


def _record(writer: AvroType, reader: AvroType) -> ColumnResolver:
    if writer.name != reader.name:
        raise IncompatibleError(f"record {writer.name} can't be read as {reader.name}")
    sources = [_field(writer, field) for field in reader.fields]
    if [field.name for field in writer.fields] == [field.name for field in reader.fields] and all(
        column is _same for _, column in sources
    ):
        return _same
    fields = [pa.field(field.name, arrow_type(field.type)) for field in reader.fields]

    def resolve(column: pa.Array) -> pa.Array:
        arrays = [
            default_array(field, len(column)) if index is None else inner(column.field(index))
            for field, (index, inner) in zip(reader.fields, sources, strict=True)
        ]
        mask = pc.is_null(column) if column.null_count else None
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=mask)

    return resolve


def _field(writer: AvroType, field: Field) -> tuple[int | None, ColumnResolver]:
    names = [writer_field.name for writer_field in writer.fields]
    for name in (field.name, *field.aliases):
        if name in names:
            index = names.index(name)
            return index, _resolver(writer.fields[index].type, field.type)
    if not field.has_default:
        raise IncompatibleError(f"the writer has no field {field.name}, and the reader has no default for it")
    return None, _same
