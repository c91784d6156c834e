"""Whether parsed JSON is a value of an Avro type: nothing is converted, trimmed or guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from schemas.types import AvroType

_INT_MAX: Final = 2**31
_LONG_MAX: Final = 2**63
#: Items of an array: `{}` is two bytes of JSON and ten of Avro, and a record has to stay below the broker's limit.
ITEMS_MAX: Final = 5_000


def _is_int(value: Any, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _is_array(value: Any, item: AvroType) -> bool:
    return isinstance(value, list) and len(value) <= ITEMS_MAX and all(conforms(each, item) for each in value)


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
        "int": lambda value, _: _is_int(value, _INT_MAX),
        "long": lambda value, _: _is_int(value, _LONG_MAX),
        "enum": lambda value, avro: isinstance(value, str) and value in avro.symbols,
        "array": lambda value, avro: _is_array(value, avro.item),
        "record": _is_record,
    }
)


def conforms(value: Any, avro: AvroType) -> bool:
    """Whether the value has the type; KeyError for a kind that hand-overs don't have (bytes, days, instants)."""
    if value is None:
        return avro.nullable
    return _CHECKS[avro.kind](value, avro)


def completed(value: Any, avro: AvroType) -> Any:
    """A value that conforms, with the defaults of what it leaves away, so that it can be a column."""
    if value is None:
        return None
    if avro.kind == "array":
        return [completed(item, avro.item) for item in value]
    if avro.kind != "record":
        return value
    return {
        field.name: completed(value[field.name], field.type) if field.name in value else field.default
        for field in avro.fields
    }
