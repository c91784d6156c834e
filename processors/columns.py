"""Arrow columns: selecting them, computing once per distinct value, and building tables of a schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, compress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalogue import catalogue
from schemas.tables import table_from_rows
from streams.contract import Output


def arrow_schema(name: str) -> pa.Schema:
    """Return the columns of a schema's newest version. Raise KeyError for an unknown name."""
    return catalogue().arrow_schema(name)


def contiguous(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array without offset, so its child arrays have exactly its own values."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def select_columns(table: pa.Table, names: Sequence[str]) -> dict[str, pa.Array]:
    """Return columns of a table by name, each as one array."""
    return {name: contiguous(table.column(name)) for name in names}


def take_rows(table: pa.Table, rows: Sequence[int], names: Sequence[str]) -> dict[str, pa.Array]:
    """Return columns by name with these rows; a row index that occurs twice gives the row twice."""
    return select_columns(table.select(names).take(pa.array(rows, pa.int64())), names)


def case_keys(cases: pa.StructArray) -> pa.Array:
    """Return the Kafka key of each case: its fields joined by a slash."""
    return pc.binary_join_element_wise(*cases.flatten(), "/")


def struct_fields(structs: pa.StructArray) -> dict[str, pa.Array]:
    """Return the fields of a struct column by name; they are null wherever the struct is null."""
    return dict(zip((field.name for field in structs.type), structs.flatten(), strict=True))


def map_distinct(values: pa.Array, compute: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Return `compute` of each value, calling it once with all distinct values (without null); null stays null."""
    encoded = values.dictionary_encode()
    return compute(encoded.dictionary).take(encoded.indices)


def constant(value: Any, length: int, type_: pa.DataType | None = None) -> pa.Array:
    """Return a column that repeats one value; a string unless `type_` is given."""
    return pa.repeat(pa.scalar(value, type_ or pa.string()), length)


def row_indices(length: int) -> pa.Array:
    """Return 0, 1, 2 … as int64."""
    return pa.arange(0, length)


def list_offsets(lengths: pa.Array) -> pa.Array:
    """Return the offsets (int32, one more than lengths) of consecutive lists of these lengths."""
    ends = pc.cumulative_sum(lengths.cast(pa.int32()))
    return pa.concat_arrays([pa.array([0], pa.int32()), ends])


def empty_to_null(values: pa.Array) -> pa.Array:
    """Return the strings with null in place of each empty one."""
    return pc.if_else(pc.equal(values, ""), None, values)


def struct_from_columns(
    fields: Mapping[str, pa.Array], type_: pa.StructType, mask: pa.Array | None = None
) -> pa.StructArray:
    """Return a struct column of this type. A field without a column is null; where `mask` is true, the struct is."""
    length = len(next(iter(fields.values())))
    arrays = [
        _cast(fields[field.name], field.type) if field.name in fields else pa.nulls(length, field.type)
        for field in type_
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(type_), mask=mask)


def structs_from_tuples(
    values: Sequence[tuple[Any, ...] | None], type_: pa.StructType, names: Sequence[str]
) -> pa.StructArray:
    """Return tuples with these fields as structs, None as null; other fields of the type are null."""
    valid = [value is not None for value in values]
    tuples = list(compress(values, valid))
    by_name = dict(zip(names, zip(*tuples, strict=True), strict=True)) if tuples else {}
    fields = {name: pa.array(by_name.get(name, ()), type_.field(name).type) for name in names}
    structs = struct_from_columns(fields, type_)
    if len(tuples) == len(values):
        return structs
    indices = [
        count - 1 if is_valid else None for count, is_valid in zip(accumulate(valid), valid, strict=True)
    ]
    return structs.take(pa.array(indices, pa.int64()))


def table_from_columns(schema: str, fields: Mapping[str, pa.Array]) -> pa.Table:
    """Return a table in a schema's newest version; a field without a column is null.

    Raise KeyError for a column that the schema doesn't have.
    """
    target = arrow_schema(schema)
    unknown = set(fields) - set(target.names)
    if unknown:
        raise KeyError(f"schema {schema} has no field {', '.join(sorted(unknown))}")
    length = len(next(iter(fields.values())))
    arrays = [
        _cast(fields[field.name], field.type) if field.name in fields else pa.nulls(length, field.type)
        for field in target
    ]
    return pa.Table.from_arrays(arrays, schema=target)


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array:
    # Even a cast without effect takes ten times as long as the comparison.
    return column if column.type.equals(type_) else column.cast(type_)


def output_from_rows(
    topic: str, schema: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> Output:
    """Return records for a topic: `rows` with the schema's fields (a missing one is null), and a key per row."""
    return Output(topic, schema, table_from_rows(schema, rows), pa.array(keys, pa.string()))
