"""Conformance of parsed JSON to an Avro type: nothing is converted, trimmed or guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from schemas.types import AvroType

#: Integers of Avro are at least -limit and less than limit.
_INT_LIMIT: Final = 2**31
_LONG_LIMIT: Final = 2**63
#: Items of an array: `{}` is two bytes of JSON and ten of Avro, and a record must stay below the broker's limit.
ITEMS_MAX: Final = 5_000


def conforms(value: Any, avro: AvroType) -> bool:
    """Return whether the value is of the type.

    Raise KeyError for a kind of type that no submission has (bytes, dates, timestamps).
    """
    if value is None:
        return avro.nullable
    return _CHECKS[avro.kind](value, avro)


def with_defaults(value: Any, avro: AvroType) -> Any:
    """Return a value that conforms with all fields of its records; a field that it leaves out gets its default.

    Only such a value can be a row of a table.
    """
    if value is None:
        return None
    if avro.kind == "array":
        return [with_defaults(item, avro.item) for item in value]
    if avro.kind != "record":
        return value
    return {
        field.name: with_defaults(value[field.name], field.type) if field.name in value else field.default
        for field in avro.fields
    }


def _is_int(value: Any, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _is_array(value: Any, item_type: AvroType) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= ITEMS_MAX
        and all(conforms(item, item_type) for item in value)
    )


def _is_record(value: Any, avro: AvroType) -> bool:
    if not isinstance(value, dict):
        return False
    fields = {field.name: field for field in avro.fields}
    return value.keys() <= fields.keys() and all(
        conforms(value[name], field.type) if name in value else field.has_default
        for name, field in fields.items()
    )


_CHECKS: Final[Mapping[str, Callable[[Any, AvroType], bool]]] = MappingProxyType(
    {
        "string": lambda value, _: isinstance(value, str),
        "boolean": lambda value, _: isinstance(value, bool),
        "int": lambda value, _: _is_int(value, _INT_LIMIT),
        "long": lambda value, _: _is_int(value, _LONG_LIMIT),
        "enum": lambda value, avro: isinstance(value, str) and value in avro.symbols,
        "array": lambda value, avro: _is_array(value, avro.item),
        "record": _is_record,
    }
)
