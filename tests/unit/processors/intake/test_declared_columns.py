"""The checks of any declaration, against the same rules for one row at a time: a system with two entities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.codes import MESH
from processors.intake import declared_codes, validation
from processors.intake.declared_codes import DECLARED_CODES
from processors.intake.declared_events import DeclaredEventType
from processors.intake.submissions import submissions_of
from processors.intake.validation_codes import ValidationCode
from schemas.declare import (
    CANCELLED,
    ENROLLED,
    FREE_TEXT,
    PART,
    DeclarationError,
    Entity,
    EntityField,
    changes,
    choice,
    closes,
    day,
    digits,
    opens,
    text,
    yen,
)
from schemas.municipalities import is_municipality
from schemas.systems import DOMAINS
from schemas.systems.model import Scope, System, submission_schema
from streams.contract import META, Batch
from tests.unit.processors.submissions import RECEIVED_MS, Row, key_ring

CODE = "42990000011"
#: The day of receipt of the submissions in Japan.
RECEIVED_ON = date(2026, 9, 1)

ROOM = Entity(
    "room",
    "入居",
    key=(PART, "building"),
    fields=(
        digits("building", "建物番号", 4),
        text("note", "備考", 8).optional(),
        yen("rent", "家賃"),
        day("until", "期限").optional(),
    ),
    events=(
        opens("RoomTaken", "入居", "note", "rent", "until"),
        changes("RentChanged", "家賃変更", "rent"),
        closes("RoomLeft", "退去"),
    ),
)
PET = Entity(
    "pet",
    "動物",
    fields=(
        text("note", "備考", 8),
        choice("animal", "種類", "cat", "dog"),
        text("tag", "札", 4, "^[A-Z]+$"),
    ),
    events=(
        opens("PetEntered", "登録", "note", "animal", "tag"),
        changes("PetTagged", "札", "tag"),
        closes("PetLeft", "抹消", "note"),
    ),
)
#: A system of municipalities. Its entities share a field that may be left out in one of them.
HOUSING = System(
    "housing",
    "公営住宅",
    Scope.MUNICIPAL,
    publishes=submission_schema("housing"),
    domain=DOMAINS["child"],
    owns=(ROOM, PET),
)

#: Columns of its schema beside file and line.
COLUMNS = (
    "event", "number", "effective_on", "recorded_on", "code", "municipality", "cancels", "building", "note",
    "rent", "until", "animal", "tag", "raw", "fault",
)  # fmt: skip
HEAD = {
    "number": "n-1",
    "effective_on": "2026-03-03",
    "recorded_on": "2026-03-03",
    "code": CODE,
    "municipality": "131041",
}
VALID: list[Row] = [
    HEAD
    | {"event": "RoomTaken", "building": "0001", "rent": "40000", "note": "角部屋", "until": "2028-02-29"},
    HEAD | {"event": "RoomTaken", "building": "0001", "rent": "0"},
    HEAD | {"event": "RentChanged", "building": "0002", "rent": "9999999999999"},
    HEAD | {"event": "RoomLeft", "building": "0001"},
    HEAD | {"event": "PetEntered", "note": "白", "animal": "cat", "tag": "A"},
    HEAD | {"event": "PetTagged", "tag": "ABCD"},
    HEAD | {"event": "PetLeft", "note": "死亡"},
    HEAD | {"event": "Cancelled", "cancels": "n-0"},
    {name: HEAD[name] for name in ("code", "municipality", "effective_on")} | {"event": "Enrolled"},
]
TEXTS = st.sampled_from(
    [
        None, "", "0001", "00012", "40000", "01", "-1", "角部屋", " ", "a\u200bb", "x" * 9, "cat", "A", "A\n",
        "ABCDE", "2026-02-29", "2028-02-29", "2026-03-03", "2026-09-02", "2026-09-03", "2026-10-31", "2026-11-01",
        "131041", "012033", "131042", "n-0", CODE, CODE + "1", "RoomTaken", "PetLeft", "Cancelled", "Enrolled", "？",
    ]
)  # fmt: skip
ROWS = st.builds(
    lambda valid, changed: valid | changed,
    st.sampled_from(VALID),
    st.one_of(
        st.just({}),
        st.dictionaries(st.sampled_from(COLUMNS[:-2]), TEXTS, max_size=2),
        st.sampled_from([{"fault": "encoding"}, {"fault": "json", "event": None}]),
    ),
)


@pytest.fixture(scope="module")
def housing() -> Iterator[DeclaredEventType]:
    """Return how submissions of the system above are processed; its codes follow those of the real systems."""
    kinds = (declared_codes.wrong_form, declared_codes.missing, declared_codes.unexpected)
    codes = (
        *ValidationCode,
        *DECLARED_CODES,
        *(kind(field) for field in HOUSING.submitted_fields for kind in kinds),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "_INDEX_OF", {code: index for index, code in enumerate(codes)})
        patch.setattr(validation, "_CODES", pa.array([code.value for code in codes], pa.string()))
        yield DeclaredEventType(HOUSING)


def housing_batch(rows: list[Row]) -> Batch:
    """Return submissions as a municipality's topic has them; its name is that of a system that exists."""
    schema = pa.schema([*((name, pa.string()) for name in ("file", *COLUMNS)), ("line", pa.int32())])
    meta = [
        {
            "topic": "in.child.131041",
            "partition": 0,
            "offset": offset,
            "timestamp_ms": RECEIVED_MS,
            "key": None,
        }
        for offset in range(len(rows))
    ]
    return Batch(
        "submission-housing",
        pa.Table.from_pylist(rows, schema=schema),
        pa.Table.from_pylist(meta, schema=META),
    )


def is_day(value: str) -> bool:
    """Return whether this is an existing day."""
    try:
        return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is not None and bool(
            date.fromisoformat(value)
        )
    except ValueError:
        return False


def in_form(field: EntityField, value: str) -> bool:
    """Return whether a value has the form of its field, as the declaration says it."""
    if field.choices:
        return value in field.choices
    if field.type == "date":
        return is_day(value)
    if field.pattern == FREE_TEXT:
        return len(value) <= field.characters_max and bool(value.strip()) and value.isprintable()
    return re.fullmatch(field.pattern.removeprefix("^").removesuffix("$"), value) is not None


def expected_code(row: Row) -> str | None:
    """Return the code of a row by the rules of the declaration, one row and one rule at a time."""
    given = {name: value for name, value in row.items() if value not in (None, "")}
    rules = chain(head_rules(given), field_rules(given), rules_of_rights_and_days(given))
    return next((code for code, holds in rules if not holds), None)


def entity_of(event: str) -> Entity | None:
    """Return the entity that an event is about; None if it is about none."""
    return next((entity for entity in HOUSING.owns if event in {each.name for each in entity.events}), None)


def head_rules(given: Row) -> Iterator[tuple[str, bool]]:
    """Yield the code of each rule of the head, and whether it holds; those after the first broken one may be wrong."""
    event, number = given.get("event", ""), r"[A-Za-z0-9-]{1,32}"
    enrolled, cancelled = event == ENROLLED, event == CANCELLED
    yield "ENCODING", given.get("fault") != "encoding"
    yield "UNREADABLE", "fault" not in given
    yield "EVENT_UNKNOWN", enrolled or cancelled or entity_of(event) is not None
    yield "FORM_NOTICE", re.fullmatch(number, given.get("number", "e" if enrolled else "")) is not None
    yield "FORM_EFFECTIVE_ON", is_day(given.get("effective_on", ""))
    yield "FORM_RECORDED_ON", is_day(given.get("recorded_on", "2026-01-01" if enrolled else ""))
    yield "FORM_CODE", re.fullmatch("[0-9]{11}", given.get("code", "")) is not None
    yield "FORM_MUNICIPALITY", is_municipality(given.get("municipality", ""))
    yield "FORM_CANCELS", re.fullmatch(number, given.get("cancels", "n")) is not None
    yield "CANCELS_MISSING", "cancels" in given or not cancelled
    yield "CANCELS_UNEXPECTED", "cancels" not in given or cancelled


def field_rules(given: Row) -> Iterator[tuple[str, bool]]:
    """Yield the codes of the rules of each field, and whether they hold."""
    entity = entity_of(given["event"])
    brought = (*entity.key_fields, *entity.event(given["event"]).fields) if entity else ()
    required = {name for name in brought if entity and not entity.field(name).is_optional}
    for field in HOUSING.submitted_fields:
        name, is_given = field.name, field.name in given
        yield f"UNEXPECTED/{name}", not is_given or name in brought
        yield f"MISSING/{name}", is_given or name not in required
        yield f"FORM/{name}", not is_given or in_form(field, given[name])


def rules_of_rights_and_days(given: Row) -> Iterator[tuple[str, bool]]:
    """Yield the codes of the rules about submitter and receipt, and whether they hold."""
    effective, recorded = (given.get(name, "2026-01-01") for name in ("effective_on", "recorded_on"))
    yield "NOT_SUBMITTER", given["municipality"] == "131041"
    yield "EFFECTIVE_IN_FUTURE", date.fromisoformat(effective) <= RECEIVED_ON + timedelta(days=60)
    yield "RECORDED_IN_FUTURE", date.fromisoformat(recorded) <= RECEIVED_ON + timedelta(days=1)


@given(rows=st.lists(ROWS, min_size=1, max_size=12))
def test_the_columns_give_the_errors_of_the_declaration(housing: DeclaredEventType, rows: list[Row]) -> None:
    """For every field and event of two entities, beside each other in one batch."""
    submissions = submissions_of(housing_batch(rows))
    errors = housing.validate(submissions, housing.read(submissions))
    assert validation.error_codes(errors).to_pylist() == list(map(expected_code, rows))


@given(rows=st.lists(ROWS.filter(lambda row: expected_code(row) is None), max_size=12))
def test_the_fields_of_each_event_are_in_the_order_of_its_entity(
    housing: DeclaredEventType, rows: list[Row]
) -> None:
    """Whatever entities the other events of the batch are about."""
    fields = housing.person_change_fields(
        housing.read(submissions_of(housing_batch(rows))), key_ring().cipher(MESH)
    )
    for row, kind, event in zip(rows, fields["kind"].to_pylist(), fields["event"].to_pylist(), strict=True):
        entity = entity_of(row["event"])
        if row["event"] == ENROLLED:
            assert (kind, event) == ("ENROLMENT", None)
            continue
        assert (kind, event["system"], event["entity"]) == ("EVENT", "housing", entity.id if entity else "")
        names = entity.field_names if entity else ()
        assert event["fields"] == [row.get(name) or None for name in names]
        assert (event["event"], event["number"], event["cancels"]) == (
            row["event"],
            row["number"],
            row.get("cancels") or None,
        )
    assert fields["municipality"].to_pylist() == [row["municipality"] for row in rows]


@given(row=ROWS, other=ROWS)
def test_equal_content_has_an_equal_canonical_form(housing: DeclaredEventType, row: Row, other: Row) -> None:
    """File and line don't count, and empty text is not given."""

    def content(of: Row) -> dict[str, Any]:
        return {name: value for name, value in of.items() if value not in (None, "")}

    submissions = submissions_of(housing_batch([row | {"file": "a", "line": 1}, row | {"file": "b"}, other]))
    first, second, third = housing.canonical_form(housing.read(submissions)).to_pylist()
    assert first == second
    assert (first == third) == (content(row) == content(other))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"publishes": "enrolment"}, "publishes submission-housing"),
        ({"digest_purpose": "x" * 17}, "longer than 16 bytes"),
        (
            {"id": "intermediate-server", "publishes": submission_schema("intermediate-server")},
            "shorter digest",
        ),
        ({"owns": (ROOM, ROOM)}, "event of the same name"),
        (
            {
                "owns": (
                    ROOM,
                    Entity("x", "別", (text("note", "備考", 9),), (opens("XOpened", "開始", "note"),)),
                )
            },
            "note has another form",
        ),
    ],
)
def test_a_declaration_that_contradicts_itself_is_an_error(overrides: dict[str, Any], message: str) -> None:
    """At import, so a system that intake can't check is never started."""
    valid: dict[str, Any] = {
        "id": "housing",
        "japanese": "公営住宅",
        "scope": Scope.MUNICIPAL,
        "publishes": submission_schema("housing"),
        "owns": (ROOM, PET),
    }
    assert System(**valid).purpose == "housing"
    with pytest.raises(DeclarationError, match=message):
        System(**(valid | overrides))
