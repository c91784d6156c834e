"""Rows with values that Arrow can hold but the schema doesn't allow.

These are nulls where Avro requires a value, dates and timestamps outside the years 1 to 9999, and text that isn't a
symbol of the enum. The Avro libraries are no substitute: one of them silently writes such a null as an empty value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.types import PRIMITIVES, AvroType

_FIRST_DAY: Final = (date(1, 1, 1) - date(1970, 1, 1)).days
_LAST_DAY: Final = (date(9999, 12, 31) - date(1970, 1, 1)).days
#: Up to this number of values, checking them one by one is faster.
_FEW: Final = 64
_PER_DAY: Final = {"date": 1, "timestamp-millis": 86_400_000, "timestamp-micros": 86_400_000_000}
#: Returns the rows of values, by their indices; called only if something is wrong.
_RowsOf = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class Violation:
    """Rows (int64 indices) that break a rule at a path of the schema. `reason` contains no value."""

    path: str
    reason: str
    rows: pa.Array


def violations(record: AvroType, table: pa.Table) -> Iterator[Violation]:
    """Yield the violations column by column; `table` has the record's columns, of its Arrow types."""
    for field in record.fields:
        column = table.column(field.name)
        # The null count alone decides for most columns of a small batch, which is faster than checking their values.
        if _is_valid_by_null_count(field.type, column):
            continue
        yield from _violations_of(field.type, column.combine_chunks(), lambda indices: indices, field.name)


def _is_valid_by_null_count(avro: AvroType, values: pa.Array | pa.ChunkedArray) -> bool:
    nulls = values.null_count
    if nulls and not avro.nullable:
        return False
    return avro.kind in PRIMITIVES or nulls == len(values)


def _violations_of(avro: AvroType, values: pa.Array, rows_of: _RowsOf, path: str) -> Iterator[Violation]:
    """Yield the violations of values at a path."""
    if values.null_count and not avro.nullable:
        yield Violation(path, "null where a value is required", _rows_where(pc.is_null(values), rows_of))
    yield from _violations_in(avro, values, rows_of, path)


def _violations_in(avro: AvroType, values: pa.Array, rows_of: _RowsOf, path: str) -> Iterator[Violation]:
    """Yield the violations of values that aren't null."""
    if avro.kind in _PER_DAY:
        yield from _out_of_range(avro.kind, values, rows_of, path)
    elif avro.kind == "enum":
        yield from _unknown_symbols(avro, values, rows_of, path)
    elif avro.kind == "record":
        yield from _in_fields(avro, values, rows_of, path)
    elif avro.kind in ("array", "map"):
        yield from _in_items(avro, values, rows_of, path)


def _in_fields(avro: AvroType, values: pa.Array, rows_of: _RowsOf, path: str) -> Iterator[Violation]:
    # `flatten` makes the fields null where the record is null, so all of them keep the indices of the record.
    for field, inner in zip(avro.fields, values.flatten(), strict=True):
        inner_path = f"{path}.{field.name}"
        if inner.null_count > values.null_count and not field.type.nullable:
            missing = pc.and_(pc.is_null(inner), pc.is_valid(values))
            yield Violation(inner_path, "null where a value is required", _rows_where(missing, rows_of))
        if field.type.kind not in PRIMITIVES and inner.null_count < len(inner):
            yield from _violations_in(field.type, inner, rows_of, inner_path)


def _in_items(avro: AvroType, values: pa.Array, rows_of: _RowsOf, path: str) -> Iterator[Violation]:
    if avro.kind == "map":
        values = values.cast(pa.list_(pa.struct([("key", pa.string()), ("value", values.type.item_type)])))
    items = values.flatten()
    if avro.kind == "map":
        items = items.field(1)
    if not _is_valid_by_null_count(avro.item, items):
        yield from _violations_of(
            avro.item, items, lambda indices: rows_of(_list_indices(values).take(indices)), f"{path}[]"
        )


def _list_indices(lists: pa.Array) -> pa.Array:
    """Return for each item that `flatten` returns the index of its list."""
    if not lists.null_count:
        return pc.list_parent_indices(lists)
    # A list that is null only because its record is may still have items, which `flatten` leaves out.
    valid = pc.indices_nonzero(pc.is_valid(lists))
    return valid.take(pc.list_parent_indices(lists.drop_null()))


def _out_of_range(kind: str, values: pa.Array, rows_of: _RowsOf, path: str) -> Iterator[Violation]:
    per_day = _PER_DAY[kind]
    first, last = _FIRST_DAY * per_day, (_LAST_DAY + 1) * per_day - 1
    numbers = values.view(pa.int32() if kind == "date" else pa.int64())
    if len(values) <= _FEW and all(
        number is None or first <= number <= last for number in numbers.to_pylist()
    ):
        return
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is not None and (bounds["min"] < first or bounds["max"] > last):
        outside = pc.or_(pc.less(numbers, first), pc.greater(numbers, last)).fill_null(False)
        yield Violation(path, "outside the years 1 to 9999", _rows_where(outside, rows_of))


def _unknown_symbols(avro: AvroType, values: pa.Array, rows_of: _RowsOf, path: str) -> Iterator[Violation]:
    if len(values) <= _FEW and _symbols_and_null(avro.symbols).issuperset(values.to_pylist()):
        return
    known = pc.is_in(values, value_set=_value_set(avro.symbols))
    if not pc.all(known, min_count=0).as_py():
        yield Violation(path, "not a symbol of the enum", _rows_where(pc.invert(known), rows_of))


@cache
def _symbols_and_null(symbols: tuple[str, ...]) -> frozenset[str | None]:
    """Return the symbols and null, because `_violations_of` has checked already whether null is allowed."""
    return frozenset((*symbols, None))


@cache
def _value_set(symbols: tuple[str, ...]) -> pa.Array:
    """Return the symbols and null as an array."""
    return pa.array([*symbols, None], pa.string())


def _rows_where(mask: pa.Array, rows_of: _RowsOf) -> pa.Array:
    return rows_of(pc.indices_nonzero(mask)).cast(pa.int64())
