"""Tables of a schema: made of rows, or of columns that nearly fit; and rows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import default_array
from schemas.catalogue import Catalogue, Schema, catalogue

_EPOCH: Final = date(1970, 1, 1).toordinal()


class EncodeError(ValueError):
    """A table doesn't fit its schema: our own mistake. Names columns, never values."""


def empty_table(name: str, schemas: Catalogue | None = None) -> pa.Table:
    """No rows, with the columns of a name's newest version."""
    return (schemas or catalogue()).arrow_schema(name).empty_table()


def table_from_rows(
    name: str, rows: Sequence[Mapping[str, Any]], schemas: Catalogue | None = None
) -> pa.Table:
    """Rows as a table of a name's newest version; EncodeError for a field that the schema doesn't have.

    A field that no row gives gets the schema's default; else one that a row leaves away is null.
    """
    schema = (schemas or catalogue()).schema(name)
    if not rows:
        return schema.arrow.empty_table()
    given = set().union(*(row.keys() for row in rows))
    _no_unknown(schema, given)
    columns = [field for field in schema.arrow if field.name in given]
    try:
        arrays = [pa.array(_given(rows, field.name), field.type) for field in columns]
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise EncodeError(f"{name}: a value is not of its field's type") from None
    return fit(schema, pa.Table.from_arrays(arrays, schema=pa.schema(columns)))


def _given(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def rows_from_table(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as `to_pylist` gives them, but for instants: these are numbers, in their column's unit, since 1970.

    A day is made once, however often it stands there, and all else field by field: less than half of the time.
    """
    return _records(table.column_names, [values_of(column) for column in table.columns], table.num_rows)


def values_of(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values of one column, as in `rows_from_table`."""
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in values_of(chunk)]
    if pa.types.is_date32(column.type):
        numbers = column.cast(pa.int32())
        days = {each: date.fromordinal(_EPOCH + each) for each in pc.unique(numbers.drop_null()).to_pylist()}
        return list(map(days.get, numbers.to_pylist()))
    if pa.types.is_timestamp(column.type):
        return _listed(column.cast(pa.int64()))
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        # Where the struct is null, so are its fields.
        fields = [values_of(field) for field in column.flatten()]
        return _where_given(column, _records(names, fields, len(column)))
    if pa.types.is_list(column.type):
        offsets = column.offsets.to_pylist()
        values = values_of(column.values.slice(offsets[0], offsets[-1] - offsets[0]))
        first = offsets[0]
        lists = [values[begin - first : end - first] for begin, end in pairwise(offsets)]
        return _where_given(column, lists)
    return _listed(column)


def _listed(column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


def _records(names: Sequence[str], columns: Sequence[list[Any]], length: int) -> list[dict[str, Any]]:
    if not names:
        return [{} for _ in range(length)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _where_given(column: pa.Array, values: list[Any]) -> list[Any]:
    if not column.null_count:
        return values
    given = column.is_valid().to_pylist()
    return [value if there else None for value, there in zip(values, given, strict=True)]


def fit(schema: Schema, table: pa.Table) -> pa.Table:
    """The table with the schema's columns, in their order and of their types; EncodeError where it doesn't fit."""
    if table.schema.equals(schema.arrow):
        return table
    _no_unknown(schema, table.column_names)
    columns = []
    for field, target in zip(schema.type.fields, schema.arrow, strict=True):
        if field.name in table.column_names:
            columns.append(_cast(schema, table.column(field.name), target))
        elif field.has_default:
            columns.append(default_array(field, table.num_rows))
        else:
            raise EncodeError(f"{schema.name}.{field.name}: the column is missing, and has no default")
    return pa.Table.from_arrays(columns, schema=schema.arrow)


def _no_unknown(schema: Schema, names: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(schema.arrow.names))
    if unknown:
        raise EncodeError(f"{schema.name} has no column {', '.join(unknown)}")


def _cast(schema: Schema, column: pa.ChunkedArray, target: pa.Field) -> pa.ChunkedArray:
    if column.type.equals(target.type):
        return column
    try:
        return column.cast(target.type)
    except pa.ArrowException:
        raise EncodeError(f"{schema.name}.{target.name}: {column.type} can't be {target.type}") from None
