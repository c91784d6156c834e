"""The rows of declared readings: their columns, what is poison, what is withheld, and their disclosures."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from processors.conversion import change_columns as module
from processors.conversion.change_columns import ChangeColumns, change_columns, needs_protection
from processors.conversion.disclosures import disclosures
from processors.conversion.reading_columns import reading_columns
from schemas.declare import Entity, EntityField, Reads, day, history_of, opens, person_ref, text, yen
from schemas.systems import DOMAINS
from schemas.systems.model import Domain
from schemas.tables import table_from_rows
from streams.contract import Tables
from tests.unit.processors.conversion.test_conversion import CONVERSION, FACTS, KEYS, PERSON, change, convert
from tests.unit.processors.protection_tables import RowsTable, measure, protected, protection_tables
from tests.unit.processors.submissions import Row, batch, records_of

EXPIRY = date(2036, 3, 3)
NO_PERSON: Row = {"facts": None, "case": None, "reason": None, "municipality": None}
#: A reading with every type, a key of two fields, and a column that points to the person's place.
LEVY = Reads(
    "levy",
    Entity(
        "levy",
        "賦課",
        key=("year", "levied_on"),
        fields=(
            text("note", "摘要", 20).optional(),
            yen("year", "年度"),
            day("levied_on", "賦課期日"),
            text("place", "賦課地", 40).location(),
            yen("amount", "税額"),
        ),
        events=(opens("Levied", "賦課", "note", "place", "amount"),),
    ),
    ("place", "amount", "note"),
    purpose="賦課",
    basis="地方税法",
)
LEVY_ROW = ["2026", "2026-01-01", "新宿区", "1200", None]

#: The reading of cards as it is declared, and a row of it whose other columns are null.
CARD_FIELDS = tuple(field.name for field in DOMAINS["card"].reads[0].fields)
CARD = {"serial": "A-1", "kind": "standard", "state": "active", "expires_on": "2036-03-03"}


def columns_of_card(**overrides: str | None) -> list[str | None]:
    """Return the columns of a row of cards in the order of the reading."""
    row = {**CARD, **overrides}
    return [row.get(name) for name in CARD_FIELDS]


def card(columns: list[str | None] | None = None, **overrides: Any) -> Row:
    """Return a change of a row of cards."""
    row = columns_of_card() if columns is None else columns
    return change(entity="card", columns=row, **{**NO_PERSON, **overrides})


def published(**values: Any) -> Row:
    """Return a published row of cards, null but for these values."""
    return dict.fromkeys(("status", *CARD_FIELDS)) | values


def levy(columns: list[str | None] | None, **overrides: Any) -> Row:
    """Return a change of a row of levies."""
    return change(columns=columns, **{**NO_PERSON, "entity": "levy", **overrides})


def with_readings(*readings: Reads) -> Domain:
    """Return the domain of cards with these readings."""
    return replace(DOMAINS["card"], reads=readings)


def columns_of(domain: Domain, *changes: Row, tables: Tables | None = None) -> ChangeColumns:
    table = table_from_rows("domain-change", changes)
    return change_columns(domain, KEYS.cipher("card"), table, tables or protection_tables())


def test_a_row_of_a_reading_is_published_in_the_types_of_its_declaration() -> None:
    """The disclosure has its columns, the key too, on the legal basis of the reading."""
    result = convert("card", card())
    (record,), (disclosure,) = (records_of(result, f"{kind}.card") for kind in ("domain", "disclosure"))
    assert record["card"] == published(status="active", **{**CARD, "expires_on": EXPIRY})
    assert (record["entity"], record["op"], record["person"]) == ("card", "UPSERT", None)
    assert disclosure["entity"] == "card"
    assert disclosure["fields"] == list(CARD)
    assert disclosure["legal_basis"] == DOMAINS["card"].reads[0].basis
    assert disclosure["code"] == record["code"] != PERSON


def test_persons_and_rows_of_readings_share_a_batch() -> None:
    """Each has its own columns, in the record and in the disclosure."""
    lost = columns_of_card(serial="A-2", kind=None, state="lost", expires_on=None)
    result = convert("card", change(), card(), card(lost, status="closed"), change())
    records, of_fields = records_of(result, "domain.card"), records_of(result, "disclosure.card")
    assert [record["card"] and record["card"]["serial"] for record in records] == [None, "A-1", "A-2", None]
    assert [record["person"] and record["person"]["name"] for record in records] == [
        FACTS["name"], None, None, FACTS["name"]
    ]  # fmt: skip
    assert records[2]["card"]["status"] == "closed"
    assert of_fields[2]["fields"] == ["serial", "state"]
    assert of_fields[0]["fields"] == of_fields[3]["fields"] == list(DOMAINS["card"].columns)
    assert not result.poison


def test_a_deleted_row_has_its_key_only() -> None:
    """The key is disclosed, as it goes out."""
    result = convert("card", card(["A-1"], op="DELETE", status=None))
    (record,), (disclosure,) = (records_of(result, f"{kind}.card") for kind in ("domain", "disclosure"))
    assert record["card"] == published(status="unknown", serial="A-1")
    assert disclosure["fields"] == ["serial"]


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        (card([*columns_of_card(), "more"]), "columns"),
        (card(columns_of_card(expires_on="2036-02-30")), "columns"),
        (card(columns_of_card(expires_on="2036-3-3")), "columns"),
        (card(columns_of_card(expires_on="")), "columns"),
        (card(columns_of_card(serial=None)), "columns"),
        (change(entity="card", columns=None, **NO_PERSON), "columns"),
        (change(entity="card", columns=[], **NO_PERSON), "columns"),
        (card(op="DELETE"), "columns"),
        (change(entity="card", columns=[None], op="DELETE", **NO_PERSON), "columns"),
        (card(status=None), "no-status"),
        (card(person="42990000011"), "bad-code"),
        (card(op="UNKNOWN"), "no-rule"),
        (card() | {"entity": "residence"}, "no-rule"),
        (card() | {"entity": "CARD"}, "no-rule"),
        (card() | {"entity": ""}, "no-rule"),
    ],
)
def test_a_row_that_the_declaration_does_not_describe_is_poison(faulty: Row, reason: str) -> None:
    """The rows around it are published."""
    express = card(columns_of_card(serial="A-2", kind="express", expires_on=None))
    result = convert("card", card(), faulty, express)
    assert [(poison.index, poison.reason) for poison in result.poison] == [(1, reason)]
    serials = [record["card"]["serial"] for record in records_of(result, "domain.card")]
    assert serials == ["A-1", "A-2"]
    assert len(records_of(result, "disclosure.card")) == 2


def test_a_reading_of_another_domain_is_poison() -> None:
    """A domain receives what it declares, whatever fan-out sends."""
    result = convert("nta", change(), card())
    assert [(poison.index, poison.reason) for poison in result.poison] == [(1, "no-rule")]
    assert len(records_of(result, "domain.nta")) == 1


def test_columns_of_another_entity_go_nowhere() -> None:
    """A person's change with the columns of a card has no card."""
    (record,) = records_of(convert("card", change(columns=columns_of_card())), "domain.card")
    assert record["card"] is None


def test_another_person_is_named_by_the_own_code_of_the_domain() -> None:
    """It is the code that this person's own rows have there; what is no mesh code makes the row unreadable."""
    aid = Entity(
        "aid", "扶助", (person_ref("head", "世帯主").optional(),), (opens("AidBegan", "開始", "head"),)
    )
    domain = with_readings(Reads("aid", aid, ("head",), purpose="扶助", basis="扶助法"))
    rows = [change(entity="aid", columns=[head], **NO_PERSON) for head in (PERSON, None, "42990000011")]
    changes = columns_of(domain, *rows)
    assert changes.columns_by_entity["aid"]["head"].to_pylist() == [changes.codes[0].as_py(), None, None]
    assert changes.codes[0].as_py() != PERSON
    assert changes.readings["aid"].is_readable.to_pylist() == [True, True, False]


@pytest.mark.parametrize(
    ("columns", "readable"),
    [
        (LEVY_ROW, True),
        (["-0", "0001-01-01", None, "9" * 18, "摘要"], True),
        (["2026", "0000-01-01", None, None, None], False),
        (["２０２６", "2026-01-01", None, None, None], False),
        (["2026", "2026-01-01", None, "9" * 19, None], False),
        (["2026", "2026-01-01", None, "12.5", None], False),
        (["2026", "2026-01-01", None, " 12", None], False),
        ([None, "2026-01-01", None, None, None], False),
    ],
)
def test_texts_are_cast_to_the_types_of_the_fields(columns: list[str | None], readable: bool) -> None:
    """By position: the key first. A text that isn't of its type makes the row unreadable, not the batch."""
    rows = [levy(LEVY_ROW), levy(columns), levy(["2025", "2025-01-01"], op="DELETE"), card()]
    table = pa.concat_tables([table_from_rows("domain-change", rows)] * 2).combine_chunks().slice(1, 6)
    changes = {name: table.column(name).chunk(0) for name in ("entity", "op", "columns")}
    levies = reading_columns(LEVY, changes, {})
    assert levies.is_row.to_pylist() == [True, True, False, True, True, True]
    assert levies.is_readable.to_pylist() == [readable, True, False, True, readable, True]
    assert list(levies.columns) == ["year", "levied_on", "place", "amount", "note"]
    last = {name: values[5].as_py() for name, values in levies.columns.items()}
    assert last == {
        "year": 2025, "levied_on": date(2025, 1, 1), "place": None, "amount": None, "note": None
    }  # fmt: skip
    assert [values[3].as_py() for values in levies.columns.values()] == [
        2026, date(2026, 1, 1), "新宿区", 1200, None
    ]  # fmt: skip


def test_a_row_from_before_fields_were_added_has_no_value_of_them() -> None:
    """Of the row it has the first columns; of a row of the history the last days too. One without its key is none."""
    older, history = LEVY_ROW[:3], history_of(replace(LEVY, history=True, history_basis="地方税法"))
    rows = [levy(older), levy(LEVY_ROW), levy(LEVY_ROW[:1]), levy([*LEVY_ROW, "more"])]
    days = ["2026-01-01", "2026-02-01"]
    of_history = [
        levy([*LEVY_ROW[:2], *days, *values, None, "2026-03-01"], entity=history.name)
        for values in (LEVY_ROW[2:3], LEVY_ROW[2:])
    ]
    table = table_from_rows("domain-change", [*rows, *of_history])
    changes = {name: table.column(name).combine_chunks() for name in ("entity", "op", "columns")}
    levies, histories = reading_columns(LEVY, changes, {}), reading_columns(history, changes, {})
    assert levies.is_readable.to_pylist() == [True, True, False, False, False, False]
    assert histories.is_readable.to_pylist() == [False, False, False, False, True, True]
    assert [levies.columns[name].to_pylist()[:2] for name in ("place", "amount")] == [
        ["新宿区", "新宿区"],
        [None, 1200],
    ]
    last = {name: values.to_pylist()[4:] for name, values in histories.columns.items()}
    assert (last["place"], last["amount"]) == (["新宿区", "新宿区"], [None, 1200])
    assert last["valid_to"] == [None, None]
    assert last["known_to"] == [date(2026, 3, 1)] * 2


@pytest.mark.parametrize(
    ("record", "status", "place"),
    [
        (None, "active", "新宿区"),
        (None, "closed", None),
        (protected(PERSON, measure(EXPIRY), card=5), "active", None),
        (protected(PERSON, measure(EXPIRY, EXPIRY), measure(EXPIRY), card=5), "active", None),
        (protected(PERSON, measure(EXPIRY, EXPIRY), card=5), "active", "新宿区"),
        (protected("another person", measure(EXPIRY), card=5), "active", "新宿区"),
    ],
)
def test_a_located_column_is_withheld(record: Row | None, status: str, place: str | None) -> None:
    """While any measure is in force, whenever the change was made, and once the row is closed."""
    tables = protection_tables(*([record] if record else []))
    changes = columns_of(with_readings(LEVY), levy(LEVY_ROW, status=status), tables=tables)
    levies = changes.columns_by_entity["levy"]
    assert levies["place"].to_pylist() == [place]
    assert levies["amount"].to_pylist() == [1200]
    (disclosure,) = disclosures(changes, 0).to_pylist()
    assert disclosure["fields"] == ["year", "levied_on", *(["place"] if place else []), "amount"]


def test_a_located_column_of_an_unreadable_record_is_withheld() -> None:
    """Nobody knows whether the person is protected."""
    tables = {"protection": RowsTable({PERSON: None})}
    changes = columns_of(with_readings(LEVY), levy(LEVY_ROW), tables=tables)
    assert changes.columns_by_entity["levy"]["place"].to_pylist() == [None]


def test_protection_is_read_for_located_columns_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of cards, which point to no place, costs no request."""
    assert not CONVERSION.needs_tables([batch("domain-change", "change.card", [card()])])
    monkeypatch.setattr(module, "_LOCATED", pa.array(["levy"]))
    assert needs_protection(table_from_rows("domain-change", [card(), levy(LEVY_ROW)]))
    assert not needs_protection(table_from_rows("domain-change", [card()]))


def test_many_readings_are_disclosed_with_their_own_columns() -> None:
    """However many columns the readings of a domain have together."""
    fields = tuple(EntityField(f"f{number}", "欄") for number in range(40))
    entity = Entity(
        "many", "多", key=("f0",), fields=fields, events=(opens("Began", "始", *names_of(fields)),)
    )
    readings = [
        Reads(f"many_{number}", entity, names_of(fields), "目的", f"根拠{number}") for number in range(4)
    ]
    rows = [levy(["x"] * 40) | {"entity": f"many_{number}"} for number in range(4)]
    rows[2]["columns"] = ["x", *[None] * 38, "y"]
    disclosed = disclosures(columns_of(with_readings(*readings), *rows), 0).to_pylist()
    assert [len(row["fields"]) for row in disclosed] == [40, 40, 2, 40]
    assert disclosed[2]["fields"] == ["f0", "f39"]
    assert [row["legal_basis"] for row in disclosed] == [f"根拠{number}" for number in range(4)]


def names_of(fields: tuple[EntityField, ...]) -> tuple[str, ...]:
    """Return the fields' names, without the key's."""
    return tuple(field.name for field in fields if field.name != "f0")
