"""A writer's columns brought to the reader's schema: Avro's schema resolution, on Arrow columns.

Fields are matched by name or the reader's alias; what the writer doesn't have gets the reader's default, what
the reader doesn't have is dropped, numbers are promoted, symbols unknown to the reader become its default.
Source: Avro specification 1.12, "Schema Resolution". Stricter in one place: a day or an instant is only read as
what it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import arrow_type, default_array
from schemas.types import AvroType, Field, UnsupportedSchemaError

#: Brings one column of the writer's type to the reader's.
Column = Callable[[pa.Array], pa.Array]

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
    """What was written by this schema can't be read by the reader's."""


def table_resolver(writer: AvroType, reader: AvroType) -> Callable[[pa.Table], pa.Table]:
    """Brings tables of the writer's columns to the reader's; IncompatibleError where no record can be.

    A null that the writer may write and the reader doesn't allow stays null: it is found by `violations`.
    """
    column = _record(writer, reader)
    if column is _same:
        return lambda table: table

    def resolve(table: pa.Table) -> pa.Table:
        struct = pa.StructArray.from_arrays(
            [each.combine_chunks() for each in table.columns], fields=list(table.schema)
        )
        resolved = column(struct)
        return pa.Table.from_arrays(
            [resolved.field(index) for index in range(len(reader.fields))],
            schema=pa.schema(list(resolved.type)),
        )

    return resolve


def _resolver(writer: AvroType, reader: AvroType) -> Column:
    if writer.kind == reader.kind == "record":
        return _record(writer, reader)
    if writer.kind == reader.kind == "enum":
        return _enum(writer, reader)
    if writer.kind == reader.kind and writer.kind in ("array", "map"):
        return _items(writer, reader)
    return _scalar(writer.kind, reader.kind, arrow_type(reader))


def _same(column: pa.Array) -> pa.Array:
    return column


def _scalar(writer: str, reader: str, target: pa.DataType) -> Column:
    if writer == reader:
        return _same
    if (writer, reader) not in _PROMOTIONS:
        raise IncompatibleError(f"{writer} can't be read as {reader}")
    # Avro promotes a long to a float though it may lose digits.
    return lambda column: column.cast(target, safe=False)


def _enum(writer: AvroType, reader: AvroType) -> Column:
    if writer.name != reader.name:
        raise IncompatibleError(f"enum {writer.name} can't be read as {reader.name}")
    if set(writer.symbols) <= set(reader.symbols):
        return _same
    if reader.enum_default is None:
        raise IncompatibleError(f"enum {reader.name} has no default")
    known, default = pa.array([*reader.symbols, None], pa.string()), reader.enum_default
    return lambda column: pc.if_else(pc.is_in(column, value_set=known), column, default)


def _items(writer: AvroType, reader: AvroType) -> Column:
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


def _record(writer: AvroType, reader: AvroType) -> Column:
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


def _field(writer: AvroType, field: Field) -> tuple[int | None, Column]:
    names = [each.name for each in writer.fields]
    for name in (field.name, *field.aliases):
        if name in names:
            index = names.index(name)
            return index, _resolver(writer.fields[index].type, field.type)
    if not field.has_default:
        raise IncompatibleError(f"field {field.name} is missing, and has no default")
    return None, _same
