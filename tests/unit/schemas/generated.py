"""Rows for any schema, and schemas evolved from any schema."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from schemas.types import AvroType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def rows(record: AvroType, *, max_size: int = 8) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of rows that the record's schema allows."""
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


def _instants(unit: timedelta) -> st.SearchStrategy[datetime]:
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
    "timestamp-millis": _instants(timedelta(milliseconds=1)),
    "timestamp-micros": _instants(timedelta(microseconds=1)),
}


def evolved(schema: Any) -> Any:
    """A next version as they come: each record gains two fields and loses one, each enum gains a symbol."""
    return _evolved(copy.deepcopy(schema))


def _evolved(node: Any) -> Any:
    if isinstance(node, list):
        return [_evolved(each) for each in node]
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
    """The field that goes is one with a default that defines no type which another field names."""
    going = next(
        (field["name"] for field in fields if "default" in field and "name" not in str(field["type"])), None
    )
    kept = [{**field, "type": _evolved(field["type"])} for field in fields if field["name"] != going]
    return [
        {"name": "added_count", "type": "long", "default": 7},
        *kept,
        {"name": "added_notes", "type": {"type": "array", "items": "string"}, "default": ["なし"]},
    ]
