"""Hypothesis strategies for rows of any schema, and a next version of any schema."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from schemas.types import AvroType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def rows(record: AvroType, *, max_size: int = 8) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a strategy for lists of rows that the record's schema allows."""
    return st.lists(_values(record), min_size=1, max_size=max_size)


def _values(avro: AvroType) -> st.SearchStrategy[Any]:
    values = _required(avro)
    return st.none() | values if avro.nullable else values


def _required(avro: AvroType) -> st.SearchStrategy[Any]:
    if avro.kind == "record":
        return st.fixed_dictionaries({field.name: _values(field.type) for field in avro.fields})
    if avro.kind == "array":
        return st.lists(_values(avro.item), max_size=3)
    if avro.kind == "map":
        return st.dictionaries(st.text(max_size=5), _values(avro.item), max_size=3)
    if avro.kind == "enum":
        return st.sampled_from(avro.symbols)
    return _SCALARS[avro.kind]


def _timestamps(unit: timedelta) -> st.SearchStrategy[datetime]:
    first, last = (_FIRST - _EPOCH) // unit, (_LAST - _EPOCH) // unit
    return st.integers(first, last).map(lambda count: _EPOCH + count * unit)


_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=20),
    "string": st.text(max_size=10) | st.sampled_from(["葛󠄀西　京子", "𠮷田", "髙橋　花子"]),
    "date": st.dates(date.min, date.max),
    "timestamp-millis": _timestamps(timedelta(milliseconds=1)),
    "timestamp-micros": _timestamps(timedelta(microseconds=1)),
}


def evolved(schema: Any) -> Any:
    """Return a typical next version: each record gains two fields and loses one, each enum gains a symbol."""
    return _evolved(copy.deepcopy(schema))


def _evolved(node: Any) -> Any:
    if isinstance(node, list):
        return [_evolved(item) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {
        key: _evolved(value) if key in ("type", "items", "values") else value for key, value in node.items()
    }
    if node.get("type") == "enum":
        changed["symbols"] = ["ADDED", *node["symbols"]]
    if node.get("type") == "record":
        changed["fields"] = _evolved_fields(node["fields"])
    return changed


def _evolved_fields(fields: list[Any]) -> list[Any]:
    """Add two fields and remove one: it must have a default, and define no type that another field refers to."""
    removed = next(
        (field["name"] for field in fields if "default" in field and "name" not in str(field["type"])), None
    )
    remaining = [{**field, "type": _evolved(field["type"])} for field in fields if field["name"] != removed]
    return [
        {"name": "added_count", "type": "long", "default": 7},
        *remaining,
        {"name": "added_notes", "type": {"type": "array", "items": "string"}, "default": ["なし"]},
    ]
