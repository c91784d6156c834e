"""Events of declared entities: what intake demands of them, and the change of the person that each becomes."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.codes import MESH, CodeKind
from processors.intake import IntakeProcessor, declared_codes
from processors.intake.declared_codes import DECLARED_CODES
from processors.intake.validation_codes import ValidationCode
from schemas.systems import SYSTEMS
from schemas.systems.model import submission_schema
from schemas.tables import table_from_rows
from streams.contract import Batch
from tests.unit.processors.intake.aid import SYSTEM as AID_SYSTEM
from tests.unit.processors.submissions import Row, batch, card_event, key_ring, records_of, rejections

KEYS = key_ring()
INTAKE = IntakeProcessor(KEYS)
CODE = "42990000011"
ENROLMENT = {"event": "Enrolled", "code": CODE, "effective_on": "2026-03-01"}
CANCELLATION = {
    "event": "Cancelled",
    "number": "c-9",
    "cancels": "c-1",
    "code": CODE,
    "effective_on": "2026-03-03",
    "recorded_on": "2026-03-03",
}
LOST = card_event(event="CardLost", kind=None, expires_on=None, number="c-2")
(CARD,) = SYSTEMS["card"].owns
#: The day of receipt of `batch` in Japan.
RECEIVED_ON = date(2026, 9, 1)


def fields_of_card(**values: str) -> list[str | None]:
    """Return the fields of an event in the order of the declaration, null but for these values."""
    return [values.get(name) for name in CARD.field_names]


def cards(*events: Row) -> Batch:
    """Return submissions of the system of cards."""
    return batch("submission-card", "in.card", events)


def test_an_event_becomes_a_change_of_the_person() -> None:
    """Its fields are in the order of the declaration, null where the event doesn't bring them."""
    result = INTAKE.process([cards(card_event(file="c.jsonl", line=3), LOST)])
    (output,) = result.outputs
    issued, lost = output.table.to_pylist()
    assert output.key.to_pylist() == [issued["person"]] * 2
    assert KEYS.cipher(MESH).values(output.key, CodeKind.PERSON).to_pylist() == [CODE.encode()] * 2
    assert issued["event"] == {
        "system": "card",
        "entity": "card",
        "event": "CardIssued",
        "number": "c-1",
        "recorded_on": date(2026, 3, 3),
        "cancels": None,
        "members": None,
        "fields": fields_of_card(serial="S-1", kind="standard", expires_on="2036-03-03"),
    }
    assert (issued["kind"], issued["municipality"], issued["effective_on"]) == (
        "EVENT",
        None,
        date(2026, 3, 3),
    )
    assert (issued["domain"], issued["account"], issued["origin"]["line"]) == (None, None, 3)
    assert lost["event"]["fields"] == fields_of_card(serial="S-1")


def test_a_cancellation_names_only_the_number_of_the_submission() -> None:
    """Intake doesn't know which entity that submission was about."""
    (change,) = records_of(INTAKE.process([cards(CANCELLATION)]), "person.change")
    event = change["event"]
    assert (event["entity"], event["event"], event["cancels"], event["fields"]) == (
        "",
        "Cancelled",
        "c-1",
        [],
    )


def test_an_event_enrolled_gives_the_record_of_an_enrolment() -> None:
    """Only domain and topic differ from an enrolment in another domain."""
    of_pension = {"domain": "pension", "municipality": "", "code": CODE, "since": "2026-03-01"}
    (expected,) = records_of(
        INTAKE.process([batch("enrolment", "in.pension", [of_pension])]), "person.change"
    )
    (change,) = records_of(INTAKE.process([cards(ENROLMENT | {"municipality": ""})]), "person.change")
    expected["origin"]["topic"] = "in.card"
    assert change == expected | {"domain": "card"}


def test_the_events_of_a_batch_keep_their_order() -> None:
    """Events, cancellations, enrolments and rejected ones beside each other."""
    result = INTAKE.process([cards(ENROLMENT, CANCELLATION, card_event(kind="gold"), LOST, card_event())])
    events = [(row["event"] or {}).get("event") for row in records_of(result, "person.change")]
    assert events == [None, "Cancelled", "CardLost", "CardIssued"]
    assert rejections(result) == [("c-1", "FORM/kind")]
    assert not result.poison


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (card_event(fault="encoding", raw="eA=="), "ENCODING"),
        (card_event(fault="form", raw="eA=="), "UNREADABLE"),
        (card_event(event="CardEaten"), "EVENT_UNKNOWN"),
        (card_event(event=None), "EVENT_UNKNOWN"),
        (card_event(event="cardissued"), "EVENT_UNKNOWN"),
        (card_event(number=None), "FORM_NOTICE"),
        (card_event(number=""), "FORM_NOTICE"),
        (card_event(number="c 1"), "FORM_NOTICE"),
        (card_event(number="c" * 33), "FORM_NOTICE"),
        (card_event(number="c-1\n"), "FORM_NOTICE"),
        (ENROLMENT | {"number": "ｃ"}, "FORM_NOTICE"),
        (card_event(effective_on=None), "FORM_EFFECTIVE_ON"),
        (card_event(effective_on="2026-02-29"), "FORM_EFFECTIVE_ON"),
        (ENROLMENT | {"effective_on": ""}, "FORM_EFFECTIVE_ON"),
        (card_event(recorded_on=""), "FORM_RECORDED_ON"),
        (card_event(recorded_on="2026/03/03"), "FORM_RECORDED_ON"),
        (ENROLMENT | {"recorded_on": "yesterday"}, "FORM_RECORDED_ON"),
        (card_event(code=None), "FORM_CODE"),
        (card_event(code="4299000001"), "FORM_CODE"),
        (CANCELLATION | {"code": ""}, "FORM_CODE"),
        (card_event(municipality="131041"), "FORM_MUNICIPALITY"),
        (CANCELLATION | {"cancels": "c 1"}, "FORM_CANCELS"),
        (CANCELLATION | {"cancels": ""}, "CANCELS_MISSING"),
        (card_event(cancels="c-0"), "CANCELS_UNEXPECTED"),
        (ENROLMENT | {"cancels": "c-0"}, "CANCELS_UNEXPECTED"),
        (card_event(serial=None), "MISSING/serial"),
        (LOST | {"serial": ""}, "MISSING/serial"),
        (card_event(serial="S" * 33), "FORM/serial"),
        (card_event(serial="S\u202e1"), "FORM/serial"),
        (card_event(kind=""), "MISSING/kind"),
        (card_event(kind="gold"), "FORM/kind"),
        (card_event(expires_on="2036-02-30"), "FORM/expires_on"),
        (LOST | {"kind": "standard"}, "UNEXPECTED/kind"),
        (card_event(state="active"), "UNEXPECTED/state"),
        (CANCELLATION | {"serial": "S-1"}, "UNEXPECTED/serial"),
        (ENROLMENT | {"serial": "S-1"}, "UNEXPECTED/serial"),
        (card_event(effective_on="2026-11-01"), "EFFECTIVE_IN_FUTURE"),
        (ENROLMENT | {"effective_on": "2026-11-01"}, "EFFECTIVE_IN_FUTURE"),
        (card_event(recorded_on="2026-09-03"), "RECORDED_IN_FUTURE"),
        (card_event(file="a\u202eb"), "FORM_FILE"),
        (card_event(raw="x" * 700_001), "TEXT_LONG"),
    ],
)
def test_an_invalid_event_is_rejected(event: Row, code: str) -> None:
    """The rejection has the number where it can be read, and nothing is published for the person."""
    result = INTAKE.process([cards(event)])
    number = event.get("number")
    assert rejections(result) == [(number if number in ("c-1", "c-2", "c-9") else None, code)]
    assert not records_of(result, "person.change")


@pytest.mark.parametrize(
    "event",
    [
        card_event(effective_on="2026-10-31", recorded_on="2026-09-02"),
        card_event(number="c" * 32, municipality="", cancels="", state=""),
        ENROLMENT | {"number": "e-1", "recorded_on": "2026-03-01"},
        LOST | {"kind": "", "expires_on": ""},
    ],
)
def test_a_valid_event_is_accepted(event: Row) -> None:
    """Empty text is not given; days may be as late as the limits."""
    result = INTAKE.process([cards(event)])
    assert not rejections(result)
    assert len(records_of(result, "person.change")) == 1


def test_every_declared_code_has_a_sentence_in_both_languages() -> None:
    """A clerk reads the field's Japanese name, and somebody who helps the clerk the name of the column."""
    assert {code.value for code in DECLARED_CODES} >= {
        f"{kind}/{field.name}"
        for kind in ("FORM", "MISSING", "UNEXPECTED")
        for system in SYSTEMS.values()
        for field in system.submitted_fields
    }
    for code in {*DECLARED_CODES, *declared_codes.codes_of(AID_SYSTEM)}:
        japanese, _, english = code.sentence.partition("。 ")
        assert code.value.partition("/")[2] in japanese
        assert english.startswith("The field ")
        assert english.endswith(".")


def test_ordering_keys_are_the_person_and_the_numbers_of_the_submitter() -> None:
    """A cancellation waits for the blocked submission that it takes back; a notice of that number doesn't."""
    issued, cancelled, enrolled = INTAKE.ordering_keys(cards(card_event(), CANCELLATION, ENROLMENT), None)
    other = INTAKE.ordering_keys(cards(CANCELLATION | {"code": "42990000022"}), None)[0]
    assert set(issued.blocks) & set(other.waits_for) == {"notice:card//c-1"}
    assert set(issued.blocks) & set(cancelled.waits_for) == {"notice:card//c-1", *enrolled.waits_for}
    assert len(list(enrolled.waits_for)) == 1


@given(
    values=st.dictionaries(
        st.sampled_from([f.name for f in SYSTEMS["card"].submitted_fields]), st.text(min_size=4), min_size=1
    )
)
def test_a_rejection_has_no_value_of_a_field(values: dict[str, str]) -> None:
    """The sentence is one of the declaration's or of the checks of the head."""
    sentences = {code.value: code.sentence for code in (*DECLARED_CODES, *ValidationCode)}
    for rejection in records_of(INTAKE.process([cards(card_event(**values))]), "rejected.card"):
        assert rejection["reason"] == sentences[rejection["code"]]
        assert (rejection["notice"], rejection["municipality"]) == ("c-1", None)


def test_an_event_is_checked_by_the_schema_that_is_released() -> None:
    """The table of the generated schema has every column that the checks read."""
    for system in SYSTEMS.values():
        if system.owns:
            names = table_from_rows(submission_schema(system.id), []).column_names
            assert {"file", "line", *(field.name for field in system.submitted_fields)} <= set(names)
