"""Arrow columns: taken whole, computed once per distinct value, and put into the shape of a schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalogue import catalogue
from schemas.tables import table_from_rows
from streams.contract import Output


def arrow_schema(name: str) -> pa.Schema:
    """Columns of a schema of the catalogue, newest version; KeyError for an unknown name."""
    return catalogue().arrow_schema(name)


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array without offset, so that the arrays below it are its own values and no others."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def columns(table: pa.Table, names: Sequence[str]) -> dict[str, pa.Array]:
    """Those columns of a table by name, each whole."""
    return {name: whole(table.column(name)) for name in names}


def taken(table: pa.Table, rows: Sequence[int], names: Sequence[str]) -> dict[str, pa.Array]:
    """Those columns by name, of these rows, each as often as it is named."""
    return columns(table.select(names).take(pa.array(rows, pa.int64())), names)


def joined(struct: pa.StructArray) -> pa.Array:
    """The fields of each struct with a slash between them: the key of the records of a case."""
    return pc.binary_join_element_wise(*struct.flatten(), "/")


def fields_of(struct: pa.StructArray) -> dict[str, pa.Array]:
    """The fields of a struct by name; null wherever the struct is null."""
    return dict(zip((field.name for field in struct.type), struct.flatten(), strict=True))


def by_unique(values: pa.Array, compute: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """`compute` of each value, called once with the distinct ones (without null); null stays null."""
    encoded = values.dictionary_encode()
    return compute(encoded.dictionary).take(encoded.indices)


def constant(value: Any, length: int, type_: pa.DataType | None = None) -> pa.Array:
    """A column of one value."""
    return pa.repeat(pa.scalar(value, type_ or pa.string()), length)


def span(length: int) -> pa.Array:
    """0, 1, 2 … as int64."""
    return pa.array(range(length), pa.int64())


def starts(lengths: pa.Array) -> pa.Array:
    """Offsets (int32, one more than lengths) of lists that follow each other."""
    ends = pc.cumulative_sum(lengths.cast(pa.int32()))
    return pa.concat_arrays([pa.array([0], pa.int32()), ends])


def none_to_null(values: pa.Array) -> pa.Array:
    """Empty strings become null."""
    return pc.if_else(pc.equal(values, ""), None, values)


def struct(
    fields: Mapping[str, pa.Array], type_: pa.StructType, mask: pa.Array | None = None
) -> pa.StructArray:
    """A struct column of this type: fields not given are null; null as a whole where `mask` is true."""
    length = len(next(iter(fields.values())))
    arrays = [
        fields[field.name].cast(field.type) if field.name in fields else pa.nulls(length, field.type)
        for field in type_
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(type_), mask=mask)


def shaped(schema: str, fields: Mapping[str, pa.Array]) -> pa.Table:
    """A table in the newest version of a schema of the catalogue; fields not given are null.

    Raises KeyError for a field that the schema doesn't have.
    """
    wanted = arrow_schema(schema)
    unknown = set(fields) - set(wanted.names)
    if unknown:
        raise KeyError(f"{schema} has no {', '.join(sorted(unknown))}")
    length = len(next(iter(fields.values())))
    arrays = [
        fields[field.name].cast(field.type) if field.name in fields else pa.nulls(length, field.type)
        for field in wanted
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def output_from_rows(
    topic: str, schema: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> Output:
    """Records of a topic: `rows` have fields of the schema (those not given are null), `keys` are theirs."""
    return Output(topic, schema, table_from_rows(schema, rows), pa.array(keys, pa.string()))
