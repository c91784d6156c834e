"""The rows of violations below records and lists that are null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from schemas.arrow import arrow_type
from schemas.types import parse_type
from schemas.violations import violations

pytestmark = pytest.mark.unit

ITEM: dict[str, Any] = {
    "type": "record",
    "name": "Item",
    "fields": [
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A"]}},
        {"name": "number", "type": "int"},
    ],
}
INNER: dict[str, Any] = {
    "type": "record",
    "name": "Inner",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "items", "type": ["null", {"type": "array", "items": ITEM}]},
    ],
}
RECORD = parse_type({"type": "record", "name": "R", "fields": [{"name": "inner", "type": ["null", INNER]}]})
GOOD = {"kind": "A", "number": 1}


def test_what_a_null_record_hides_is_no_violation_and_moves_no_row() -> None:
    """A null record may hide a list with wrong items; violations after it have the rows of their records."""
    structs = pa.array(
        [
            {"text": "a", "items": [GOOD]},
            {"text": "b", "items": [{"kind": "hidden", "number": None}, GOOD]},
            {"text": None, "items": None},
            {"text": "d", "items": [GOOD, {"kind": "wrong", "number": 2}]},
            {"text": "e", "items": [None, {"kind": "A", "number": None}]},
        ],
        arrow_type(RECORD.fields[0].type),
    )
    fields = [structs.field(index) for index in range(structs.type.num_fields)]
    is_null = pa.array([False, True, False, False, False])
    column = pa.StructArray.from_arrays(fields, fields=list(structs.type), mask=is_null)
    found = {
        (violation.path, violation.reason): violation.rows.to_pylist()
        for violation in violations(RECORD, pa.table({"inner": column}))
    }
    assert found == {
        ("inner.text", "null where a value is required"): [2],
        ("inner.items[]", "null where a value is required"): [4],
        ("inner.items[].kind", "not a symbol of the enum"): [3],
        ("inner.items[].number", "null where a value is required"): [4],
    }
