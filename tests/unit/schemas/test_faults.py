"""Values that can't be read: always faults, never an error, and never in the way of the others."""

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
SOME = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
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


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """A good value with bytes cut off, changed or put in."""
    at = st.integers(5, len(good))
    return st.one_of(
        at.map(lambda end: good[:end]),
        st.tuples(at, st.binary(min_size=1, max_size=12)).map(
            lambda it: good[: it[0]] + it[1] + good[it[0] :]
        ),
        st.tuples(at, st.binary(min_size=1, max_size=12)).map(
            lambda it: good[: it[0]] + it[1] + good[it[0] + len(it[1]) :]
        ),
    )


@pytest.mark.parametrize("name", CATALOGUE.names)
@given(data=st.data())
@SOME
def test_whatever_the_bytes_are(name: str, data: st.DataObject) -> None:
    """Every value is a row, a fault or a tombstone; rows can be used and written again; good ones are untouched."""
    good = value(name, data.draw(rows(CATALOGUE.schema(name).type, max_size=1))[0])
    prefix = prefix_of(IDS.id_of(name, 1))
    poison = (
        damaged(good)
        | st.binary(max_size=40).map(lambda tail: prefix + tail)
        | st.binary(max_size=12)
        | st.none()
    )
    values: list[bytes | None] = [good, *data.draw(st.lists(poison, max_size=6)), good]
    decoded = CODEC.decode(name, values)
    kept = decoded.row_indices.to_pylist()
    everything = sorted([*kept, *(fault.index for fault in decoded.faults), *decoded.tombstones])
    assert everything == list(range(len(values)))
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert decoded.table.num_rows == len(kept)
    assert decoded.table.schema.equals(CATALOGUE.arrow_schema(name))
    assert decoded.table.slice(0, 1).equals(decoded.table.slice(len(kept) - 1))
    assert len(CODEC.encode(name, decoded.table).to_pylist()) == len(decoded.table.to_pylist())


def test_the_reasons() -> None:
    """Each way of being unreadable has its short reason; the others are read, in order."""
    good = value("case-opened", CASE)
    incompatible = IDS.register(json.dumps({"type": "record", "name": "CaseOpened", "fields": []}))
    unsupported = IDS.register('{"type": "string"}')
    broken = IDS.register("not JSON")
    another = prefix_of(IDS.id_of("notice", 1))
    decoded = CODEC.decode(
        "case-opened",
        [
            good,
            b"",
            b"\x00\x00",
            b"\x01" + good[1:],
            None,
            prefix_of(99_999) + good[5:],
            prefix_of(incompatible),
            prefix_of(unsupported) + b"\x02a",
            prefix_of(broken) + b"\x02a",
            another + good[5:],
            good[:-1],
            good[:5] + good[5:].replace(b"13104-1", b"13104-\xff"),
            good,
        ],
    )
    assert [(fault.index, fault.reason) for fault in decoded.faults] == [
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


def test_one_bad_value_in_a_full_batch() -> None:
    """All others of ten thousand are rows, in their order."""
    good = [value("case-opened", {**CASE, "persons": count}) for count in range(100)] * 100
    values: list[bytes | None] = [*good]
    values[4321] = good[4321][:9]
    decoded = CODEC.decode("case-opened", values)
    assert [(fault.index, fault.reason) for fault in decoded.faults] == [(4321, "malformed")]
    del good[4321]
    assert decoded.table["persons"].to_pylist() == [index % 100 for index in range(10_000) if index != 4321]


def test_instants_no_calendar_has() -> None:
    """A day or an instant that Python can't hold is a fault here, not an error in a processor."""
    schema = CATALOGUE.schema("case-opened")
    row = {**CASE, "received_at": 0, "effective_on": 0}
    table = pa.Table.from_pylist([row, row, row], schema=schema.arrow)
    far = pa.array([0, 2**62, 0], pa.int64()).view(schema.arrow.field("received_at").type)
    column = table.column_names.index("received_at")
    records = _unchecked("case-opened", table.set_column(column, schema.arrow.field(column), far))
    decoded = CODEC.decode("case-opened", records)
    assert [(fault.index, fault.reason) for fault in decoded.faults] == [(1, "value-not-allowed")]
    assert decoded.row_indices.to_pylist() == [0, 2]


def _unchecked(name: str, table: pa.Table) -> list[bytes]:
    """What a careless writer would send."""
    records = engines.write(CATALOGUE.schema(name), table).to_pylist()
    return [prefix_of(IDS.id_of(name, 1)) + record for record in records]


def test_writers_that_take_turns() -> None:
    """Values of two writers come back in the order they came, whoever wrote them."""
    text = CATALOGUE.schema("case-opened").text
    foreign = prefix_of(IDS.register(text.replace("jp.psm.mesh", "org.example")))
    good = [value("case-opened", {**CASE, "persons": count}) for count in range(20)]
    values = [foreign + each[5:] if count % 3 else each for count, each in enumerate(good)]
    decoded = CODEC.decode("case-opened", pa.array(values, pa.binary()))
    assert decoded.table["persons"].to_pylist() == list(range(20))


def test_a_null_that_only_the_writer_allows() -> None:
    """A foreign writer's null in a field we require is that record's fault."""
    schema = json.loads(CATALOGUE.schema("case-opened").text)
    for field in schema["fields"]:
        if field["name"] == "persons":
            field["type"] = ["int", "null"]
    foreign = IDS.register(json.dumps(schema))
    good = value("case-opened", CASE)[5:]
    # persons stands before the eight-byte instant's varint; a union branch goes before it.
    head, tail = good.rsplit(b"\x02", 1)
    values = [prefix_of(foreign) + head + b"\x00\x02" + tail, prefix_of(foreign) + head + b"\x02" + tail]
    decoded = CODEC.decode("case-opened", values)
    assert decoded.row_indices.to_pylist() == [0]
    assert [(fault.index, fault.reason) for fault in decoded.faults] == [(1, "value-not-allowed")]
    assert decoded.table["persons"].to_pylist() == [1]
