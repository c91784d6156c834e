"""Encoding and decoding of tables: with both libraries, for any slice, and between old and new versions."""

from __future__ import annotations

import io
import json
from datetime import date
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import engines
from schemas.catalogue import Catalogue, Schema, catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import EncodeError, empty_table, rows_from_table, table_from_rows
from tests.unit.schemas.generated import evolved, rows

pytestmark = [pytest.mark.unit, pytest.mark.property]
CATALOGUE = catalogue()
CODEC = Codec(CATALOGUE, LocalSchemaIds(CATALOGUE))
FEW = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
EVERY_NAME = pytest.mark.parametrize("name", CATALOGUE.names)


def two_versions(name: str, first: str, second: str) -> Catalogue:
    """Return a catalogue of one name with two versions."""
    return Catalogue({name: {1: first, 2: second}})


@EVERY_NAME
@given(data=st.data())
@FEW
def test_pyruhvro_and_fastavro_agree(name: str, data: st.DataObject) -> None:
    """Both libraries write the same records for a table, and read the same table from records."""
    schema = CATALOGUE.schema(name)
    table = table_from_rows(name, data.draw(rows(schema.type)))
    records = engines.WRITERS["fastavro"](schema, table)
    assert engines.READERS["fastavro"](schema, records.to_pylist()).equals(table)
    if schema.engine == "pyruhvro":
        assert engines.WRITERS["pyruhvro"](schema, table).equals(records)
        assert engines.READERS["pyruhvro"](schema, records.to_pylist()).equals(table)


@EVERY_NAME
@given(data=st.data())
@FEW
def test_decoding_returns_the_encoded_table(name: str, data: st.DataObject) -> None:
    """Encoding and decoding any slice of any table returns it unchanged and in order."""
    table = _any_slice(name, data)
    decoded = CODEC.decode(name, CODEC.encode(name, table))
    assert decoded.table.equals(table)
    assert decoded.row_indices.to_pylist() == list(range(table.num_rows))
    assert not decoded.failures
    assert not decoded.tombstones


@EVERY_NAME
@given(data=st.data())
@FEW
def test_rows_equal_those_of_arrow(name: str, data: st.DataObject) -> None:
    """`rows_from_table` equals Arrow's rows, with numbers for timestamps; `table_from_rows` restores the table."""
    table = _any_slice(name, data)
    converted = rows_from_table(table)
    numbers = pa.schema([_with_numbers(field) for field in table.schema])
    assert converted == table.cast(numbers).to_pylist()
    assert table_from_rows(name, converted).equals(table)


def _any_slice(name: str, data: st.DataObject) -> pa.Table:
    table = table_from_rows(name, data.draw(rows(CATALOGUE.schema(name).type)))
    return table.slice(data.draw(st.integers(0, table.num_rows)), data.draw(st.integers(0, table.num_rows)))


def _with_numbers(field: pa.Field) -> pa.Field:
    """Return the field with numbers in place of timestamps."""
    if pa.types.is_timestamp(field.type):
        return field.with_type(pa.int64())
    if pa.types.is_struct(field.type):
        return field.with_type(pa.struct([_with_numbers(inner) for inner in field.type]))
    if pa.types.is_list(field.type):
        return field.with_type(pa.list_(_with_numbers(field.type.value_field)))
    return field


@EVERY_NAME
@pytest.mark.parametrize("upgraded", [True, False])
@given(data=st.data())
@FEW
def test_old_and_new_versions_read_each_other(name: str, upgraded: bool, data: st.DataObject) -> None:
    """An old writer's records in a new reader's schema, and the reverse, equal those of fastavro's resolution."""
    old = CATALOGUE.schema(name).text
    new = json.dumps(evolved(json.loads(old)))
    schemas = two_versions(name, old, new) if upgraded else two_versions(name, new, old)
    ids = LocalSchemaIds(schemas)
    written = data.draw(rows(schemas.schema(name, 1).type))
    table = pa.Table.from_pylist(written, schema=schemas.schema(name, 1).arrow)
    values = Codec(schemas, ids).encode(name, table, version=1)
    decoded = Codec(schemas, ids).decode(name, values)
    assert not decoded.failures
    assert decoded.table.equals(
        _by_fastavro(schemas.schema(name, 1), schemas.schema(name), values.to_pylist())
    )


def _by_fastavro(writer: Schema, reader: Schema, values: list[bytes]) -> pa.Table:
    read: list[Any] = [
        fastavro.schemaless_reader(io.BytesIO(value[5:]), writer.fastavro, reader.fastavro)
        for value in values
    ]
    return pa.Table.from_pylist(read, schema=reader.arrow)


def record(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}, *fields]})


@pytest.mark.parametrize(
    ("written", "read", "value", "expected"),
    [
        ("int", "long", 7, 7),
        ("int", "double", 7, 7.0),
        ("long", "float", 7, 7.0),
        ("float", "double", 0.5, 0.5),
        ("string", "bytes", "あ", "あ".encode()),
        ("bytes", "string", "あ".encode(), "あ"),
        ("int", ["null", "long"], 7, 7),
        (["null", "int"], ["long", "null"], None, None),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, [1, 2], [1, 2]),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}, {"a": 1}, [("a", 1)]),
    ],
)
def test_promotions(written: Any, read: Any, value: Any, expected: Any) -> None:
    """Avro's promotions work for plain and nullable fields and within arrays and maps."""
    schemas = two_versions("r", record({"name": "x", "type": written}), record({"name": "x", "type": read}))
    codec = Codec(schemas, LocalSchemaIds(schemas))
    table = pa.Table.from_pylist([{"id": "1", "x": value}], schema=schemas.schema("r", 1).arrow)
    assert codec.decode("r", codec.encode("r", table, version=1)).table["x"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("avro", "default", "expected"),
    [
        (["null", "string"], None, None),
        ({"type": "int", "logicalType": "date"}, 1, date(1970, 1, 2)),
        ("bytes", "\u00ff", b"\xff"),
        ({"type": "map", "values": "int"}, {"a": 1}, [("a", 1)]),
        ({"type": "record", "name": "In", "fields": [{"name": "a", "type": "int"}]}, {"a": 3}, {"a": 3}),
    ],
)
def test_defaults_of_added_fields(avro: Any, default: Any, expected: Any) -> None:
    """A field that the writer doesn't have gets the reader's default, whatever its type."""
    schemas = two_versions("r", record(), record({"name": "x", "type": avro, "default": default}))
    codec = Codec(schemas, LocalSchemaIds(schemas))
    table = pa.table({"id": ["1", "2"]})
    assert codec.decode("r", codec.encode("r", table, version=1)).table["x"].to_pylist() == [expected] * 2


def test_a_renamed_field_is_found_by_its_alias() -> None:
    """The reader's alias is the name of the field in the writer's schema."""
    schemas = two_versions(
        "r",
        record({"name": "was", "type": "int"}),
        record({"name": "now", "type": "int", "aliases": ["was"]}),
    )
    codec = Codec(schemas, LocalSchemaIds(schemas))
    values = codec.encode("r", pa.table({"id": ["1"], "was": pa.array([5], pa.int32())}), version=1)
    assert codec.decode("r", values).table.to_pylist() == [{"id": "1", "now": 5}]


def test_columns_may_have_any_order_and_a_convertible_type() -> None:
    """Columns are matched by name, missing ones get their default, and convertible Arrow types are converted."""
    complete = table_from_rows("domain-change", [CHANGE])
    shuffled = complete.select(list(reversed(complete.column_names))).drop_columns(["op", "municipality"])
    shuffled = shuffled.set_column(
        shuffled.column_names.index("person"),
        "person",
        shuffled["person"].cast(pa.dictionary(pa.int32(), pa.string())),
    )
    decoded = CODEC.decode("domain-change", CODEC.encode("domain-change", shuffled)).table.to_pylist()
    assert decoded == [{**complete.to_pylist()[0], "op": "UNKNOWN", "municipality": None}]


CHANGE: dict[str, Any] = {
    "person": "a",
    "entity": "PERSON",
    "op": "DELETE",
    "municipality": "131041",
    "revision": 1,
    "effective_on": date(2026, 2, 1),
    "received_at": 0,
}
RECEIPT: dict[str, Any] = {
    "id": "a",
    "code": "b",
    "case_code": "c",
    "entity": "PERSON",
    "revision": 1,
    "effective_on": date(2026, 2, 1),
    "applied_at": 0,
}
DISPATCHED = {"case": {"municipality": "131041", "notice": "1"}, "person": "p"}


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (
            "receipt-domain",
            {**RECEIPT, "code": None},
            r"receipt-domain\.code: null where a value is required",
        ),
        (
            "domain-change",
            {**CHANGE, "op": "secret"},
            r"domain-change\.op: not a symbol of the enum",
        ),
        ("receipt-domain", {**RECEIPT, "colour": "secret"}, "receipt-domain has no column colour"),
        ("receipt-domain", {**RECEIPT, "revision": "secret"}, "a value is not of its field's type"),
        ("receipt-domain", {"id": "secret"}, r"receipt-domain\.code: the column is missing"),
        ("receipt-domain", {**RECEIPT, "applied_at": 2**62}, "outside the years 1 to 9999"),
        ("case-dispatched", {**DISPATCHED, "case": None}, r"case-dispatched\.case: null"),
        (
            "case-dispatched",
            {**DISPATCHED, "case": {"municipality": "131041"}},
            r"case-dispatched\.case\.notice: null",
        ),
        (
            "case-dispatched",
            {**DISPATCHED, "changes": [{"domain": "child"}]},
            r"case-dispatched\.changes\[\]\.revision: null",
        ),
        ("case-dispatched", {**DISPATCHED, "changes": [None]}, r"case-dispatched\.changes\[\]: null"),
    ],
)
def test_invalid_values_are_not_encoded(name: str, row: dict[str, Any], message: str) -> None:
    """The error names the column and the reason, but never the value."""
    with pytest.raises(EncodeError, match=message) as caught:
        CODEC.encode(name, table_from_rows(name, [row]))
    assert "secret" not in str(caught.value)


@EVERY_NAME
def test_an_empty_table_encodes_to_no_values(name: str) -> None:
    """No rows are encoded as no values, and no values are decoded as no rows."""
    assert table_from_rows(name, []).equals(empty_table(name))
    assert len(CODEC.encode(name, empty_table(name))) == 0
    assert CODEC.decode(name, []).table.equals(empty_table(name))
