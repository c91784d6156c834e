"""Tables of a schema: made of rows, or of columns that nearly fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.arrow import default_array
from schemas.catalogue import Catalogue, Schema, catalogue


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
        arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in columns]
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise EncodeError(f"{name}: a value is not of its field's type") from None
    return fit(schema, pa.Table.from_arrays(arrays, schema=pa.schema(columns)))


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
