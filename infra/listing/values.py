"""JSON as `mesh dlq show` prints it, back into a row that can be encoded."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa


def row_of(told: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """A row of this schema; fields that it doesn't have stay, so that they are refused by name.

    ValueError, TypeError for a value that is not of its field's form.
    """
    types = {field.name: field.type for field in schema}
    return {name: value if name not in types else _value(value, types[name]) for name, value in told.items()}


def _value(value: Any, of: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_struct(of):
        return row_of(value, pa.schema(list(of)))
    if pa.types.is_list(of):
        return [_value(each, of.value_type) for each in value]
    if pa.types.is_date(of):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(of):
        return datetime.fromisoformat(value)
    return base64.b64decode(value, validate=True) if pa.types.is_binary(of) else value
