"""Undecodable values: each is a failure with a reason, never an exception, and all others are still decoded."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import engines
from schemas.catalogue import catalogue
from schemas.codec import Codec, prefix_of
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows
from tests.unit.schemas.generated import rows

pytestmark = [pytest.mark.unit, pytest.mark.property]
CATALOGUE = catalogue()
IDS = LocalSchemaIds(CATALOGUE)
CODEC = Codec(CATALOGUE, IDS)
FEW_EXAMPLES = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
CASE = {
    "case": {"municipality": "131041", "notice": "13104-1"},
    "reason": "BORN",
    "effective_on": date(2026, 2, 1),
    "persons": 1,
    "received_at": datetime(2026, 2, 2, tzinfo=UTC),
}


def value(name: str, row: dict[str, Any]) -> bytes:
    encoded: bytes = CODEC.encode(name, table_from_rows(name, [row]))[0].as_py()
    return encoded


def damaged(valid: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for a valid value with bytes cut off, inserted or replaced."""
    position = st.integers(5, len(valid))
    return st.one_of(
        position.map(lambda end: valid[:end]),
        st.tuples(position, st.binary(min_size=1, max_size=12)).map(
            lambda edit: valid[: edit[0]] + edit[1] + valid[edit[0] :]
        ),
        st.tuples(position, st.binary(min_size=1, max_size=12)).map(
            lambda edit: valid[: edit[0]] + edit[1] + valid[edit[0] + len(edit[1]) :]
        ),
    )


@pytest.mark.parametrize("name", CATALOGUE.names)
@given(data=st.data())
@FEW_EXAMPLES
def test_any_bytes_are_a_row_a_failure_or_a_tombstone(name: str, data: st.DataObject) -> None:
    """Every value is a row, a failure or a tombstone. Rows can be encoded again, and valid values are not affected."""
    valid = value(name, data.draw(rows(CATALOGUE.schema(name).type, max_size=1))[0])
    prefix = prefix_of(IDS.id_of(name, 1))
    damaged_or_random = (
        damaged(valid)
        | st.binary(max_size=40).map(lambda tail: prefix + tail)
        | st.binary(max_size=12)
        | st.none()
    )
    values: list[bytes | None] = [valid, *data.draw(st.lists(damaged_or_random, max_size=6)), valid]
    decoded = CODEC.decode(name, values)
    row_indices = decoded.row_indices.to_pylist()
    all_indices = sorted(
        [*row_indices, *(failure.index for failure in decoded.failures), *decoded.tombstones]
    )
    assert all_indices == list(range(len(values)))
    assert row_indices == sorted(row_indices)
    assert row_indices[0] == 0
    assert row_indices[-1] == len(values) - 1
    assert decoded.table.num_rows == len(row_indices)
    assert decoded.table.schema.equals(CATALOGUE.arrow_schema(name))
    assert decoded.table.slice(0, 1).equals(decoded.table.slice(len(row_indices) - 1))
    assert len(CODEC.encode(name, decoded.table).to_pylist()) == len(decoded.table.to_pylist())


def test_every_reason_of_a_failure() -> None:
    """Each kind of undecodable value has its own reason; all other values are decoded in order."""
    valid = value("case-opened", CASE)
    incompatible = IDS.register(json.dumps({"type": "record", "name": "CaseOpened", "fields": []}))
    unsupported = IDS.register('{"type": "string"}')
    not_json = IDS.register("not JSON")
    of_notice = prefix_of(IDS.id_of("notice", 1))
    decoded = CODEC.decode(
        "case-opened",
        [
            valid,
            b"",
            b"\x00\x00",
            b"\x01" + valid[1:],
            None,
            prefix_of(99_999) + valid[5:],
            prefix_of(incompatible),
            prefix_of(unsupported) + b"\x02a",
            prefix_of(not_json) + b"\x02a",
            of_notice + valid[5:],
            valid[:-1],
            valid[:5] + valid[5:].replace(b"13104-1", b"13104-\xff"),
            valid,
        ],
    )
    assert [(failure.index, failure.reason) for failure in decoded.failures] == [
        (1, "not-wire-format"),
        (2, "not-wire-format"),
        (3, "not-wire-format"),
        (5, "schema-id-unknown"),
        (6, "schema-incompatible"),
        (7, "schema-unsupported"),
        (8, "schema-unsupported"),
        (9, "schema-incompatible"),
        (10, "malformed"),
        (11, "malformed"),
    ]
    assert decoded.tombstones == (4,)
    assert decoded.row_indices.to_pylist() == [0, 12]
    assert decoded.table.num_rows == 2


def test_one_invalid_value_in_a_large_batch() -> None:
    """All other values of ten thousand are decoded, in order."""
    valid = [value("case-opened", {**CASE, "persons": count}) for count in range(100)] * 100
    values: list[bytes | None] = [*valid]
    values[4321] = valid[4321][:9]
    decoded = CODEC.decode("case-opened", values)
    assert [(failure.index, failure.reason) for failure in decoded.failures] == [(4321, "malformed")]
    del valid[4321]
    assert decoded.table["persons"].to_pylist() == [index % 100 for index in range(10_000) if index != 4321]


def test_timestamps_out_of_range_are_failures() -> None:
    """A date or timestamp that Python can't represent is a failure of the value, not an exception in a processor."""
    schema = CATALOGUE.schema("case-opened")
    row = {**CASE, "received_at": 0, "effective_on": 0}
    table = pa.Table.from_pylist([row, row, row], schema=schema.arrow)
    out_of_range = pa.array([0, 2**62, 0], pa.int64()).view(schema.arrow.field("received_at").type)
    column = table.column_names.index("received_at")
    records = _unchecked("case-opened", table.set_column(column, schema.arrow.field(column), out_of_range))
    decoded = CODEC.decode("case-opened", records)
    assert [(failure.index, failure.reason) for failure in decoded.failures] == [(1, "value-not-allowed")]
    assert decoded.row_indices.to_pylist() == [0, 2]


def _unchecked(name: str, table: pa.Table) -> list[bytes]:
    """Encode rows without checking their values, as a careless writer would."""
    records = engines.write(CATALOGUE.schema(name), table).to_pylist()
    return [prefix_of(IDS.id_of(name, 1)) + record for record in records]


def test_values_of_two_writers_keep_their_order() -> None:
    """Values with alternating writer schemas are decoded in the order in which they were passed."""
    text = CATALOGUE.schema("case-opened").text
    foreign = prefix_of(IDS.register(text.replace("jp.psm.mesh", "org.example")))
    valid = [value("case-opened", {**CASE, "persons": count}) for count in range(20)]
    values = [foreign + encoded[5:] if count % 3 else encoded for count, encoded in enumerate(valid)]
    decoded = CODEC.decode("case-opened", pa.array(values, pa.binary()))
    assert decoded.table["persons"].to_pylist() == list(range(20))


def test_a_null_that_only_the_writer_allows_is_a_failure() -> None:
    """A foreign writer's null in a field that the reader requires makes only that value a failure."""
    schema = json.loads(CATALOGUE.schema("case-opened").text)
    for field in schema["fields"]:
        if field["name"] == "persons":
            field["type"] = ["int", "null"]
    foreign = IDS.register(json.dumps(schema))
    valid = value("case-opened", CASE)[5:]
    # `persons` is the last field before the timestamp's varint of eight bytes. A union adds its branch before it.
    head, tail = valid.rsplit(b"\x02", 1)
    values = [prefix_of(foreign) + head + b"\x00\x02" + tail, prefix_of(foreign) + head + b"\x02" + tail]
    decoded = CODEC.decode("case-opened", values)
    assert decoded.row_indices.to_pylist() == [0]
    assert [(failure.index, failure.reason) for failure in decoded.failures] == [(1, "value-not-allowed")]
    assert decoded.table["persons"].to_pylist() == [1]
