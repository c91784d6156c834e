"""Rows whose values a schema doesn't allow though Arrow can hold them.

Nulls where Avro requires a value, days and instants outside of the years 1 to 9999, text that isn't a symbol.

Neither Avro library is relied on for this: one writes such a null as an empty value, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.types import PRIMITIVES, AvroType

_FIRST_DAY: Final = (date(1, 1, 1) - date(1970, 1, 1)).days
_LAST_DAY: Final = (date(9999, 12, 31) - date(1970, 1, 1)).days
#: So many values are looked at faster one by one.
_FEW: Final = 64
_PER_DAY: Final = {"date": 1, "timestamp-millis": 86_400_000, "timestamp-micros": 86_400_000_000}


@dataclass(frozen=True)
class Violation:
    """Rows (int64 indices) that break a rule at a path of the schema, for a reason that names no value."""

    path: str
    reason: str
    rows: pa.Array


def violations(record: AvroType, table: pa.Table) -> Iterator[Violation]:
    """All of them, by column; `table` has the record's columns, of its Arrow types."""
    for field in record.fields:
        column = table.column(field.name)
        # Most columns of a small batch need no look at their values: none may be null, or all are.
        if _sound(field.type, column):
            continue
        yield from _of(field.type, column.combine_chunks(), None, field.name)


def _sound(avro: AvroType, values: pa.Array | pa.ChunkedArray) -> bool:
    nulls = values.null_count
    if nulls and not avro.nullable:
        return False
    return avro.kind in PRIMITIVES or nulls == len(values)


def _of(avro: AvroType, values: pa.Array, rows: pa.Array | None, path: str) -> Iterator[Violation]:
    """`rows`: the row that each value belongs to; None where they are the rows themselves."""
    if values.null_count and not avro.nullable:
        yield Violation(path, "null where a value is required", _at(pc.is_null(values), rows))
    if avro.kind in _PER_DAY:
        yield from _outside(avro.kind, values, rows, path)
    elif avro.kind == "enum":
        yield from _unknown_symbols(avro, values, rows, path)
    elif avro.kind == "record":
        yield from _of_fields(avro, values, rows, path)
    elif avro.kind in ("array", "map"):
        yield from _of_items(avro, values, rows, path)


def _of_fields(avro: AvroType, values: pa.Array, rows: pa.Array | None, path: str) -> Iterator[Violation]:
    valid = None
    if values.null_count:
        valid = pc.is_valid(values)
        rows = _at(valid, rows)
    for index, field in enumerate(avro.fields):
        inner = values.field(index) if valid is None else values.field(index).filter(valid)
        if not _sound(field.type, inner):
            yield from _of(field.type, inner, rows, f"{path}.{field.name}")


def _of_items(avro: AvroType, values: pa.Array, rows: pa.Array | None, path: str) -> Iterator[Violation]:
    if avro.kind == "map":
        values = values.cast(pa.list_(pa.struct([("key", pa.string()), ("value", values.type.item_type)])))
    parents = pc.list_parent_indices(values)
    items = pc.list_flatten(values)
    if avro.kind == "map":
        items = items.field(1)
    yield from _of(avro.item, items, parents if rows is None else rows.take(parents), f"{path}[]")


def _outside(kind: str, values: pa.Array, rows: pa.Array | None, path: str) -> Iterator[Violation]:
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
        yield Violation(path, "outside of the years 1 to 9999", _at(outside, rows))


def _unknown_symbols(
    avro: AvroType, values: pa.Array, rows: pa.Array | None, path: str
) -> Iterator[Violation]:
    if len(values) <= _FEW and _allowed(avro.symbols).issuperset(values.to_pylist()):
        return
    known = pc.is_in(values, value_set=_symbols(avro.symbols))
    if not pc.all(known, min_count=0).as_py():
        yield Violation(path, "not a symbol of the enum", _at(pc.invert(known), rows))


@cache
def _allowed(symbols: tuple[str, ...]) -> frozenset[str | None]:
    """The symbols, and null."""
    return frozenset((*symbols, None))


@cache
def _symbols(symbols: tuple[str, ...]) -> pa.Array:
    """The symbols, and null: whether that is allowed is another question."""
    return pa.array([*symbols, None], pa.string())


def _at(mask: pa.Array, rows: pa.Array | None) -> pa.Array:
    found = pc.indices_nonzero(mask).cast(pa.int64())
    return found if rows is None else rows.take(found)
