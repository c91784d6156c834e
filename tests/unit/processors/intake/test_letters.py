"""Acts on dead letters go to the step that set the record aside; and what must stay in order at the door."""

from __future__ import annotations

from typing import Any

import pytest

from processors.intake import Intake
from tests.unit.processors.handed_over import CSV_TOPIC, JSON_TOPIC, batch, key_ring, row, rows_batch

INTAKE = Intake(key_ring())
ORIGIN = {"topic": "person.change", "partition": 2, "offset": 7}
LETTER = {"step": "fan-out", "digest": "0123456789abcdef01234567"}


def outputs(*acts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What intake makes of acts, by topic."""
    result = INTAKE.process([batch("desk-act", "in.desk", [{"origin": ORIGIN} | act for act in acts])])
    assert not result.poison
    return {output.topic: output.table.to_pylist() for output in result.outputs}


def test_an_act_goes_to_the_letters_step() -> None:
    """With the place where it was filed as its id, so that a replay repeats it."""
    found = outputs(
        {"act": "RETRY", "letter": LETTER},
        {"act": "DISMISS", "letter": LETTER | {"step": "sink.care", "reason": "sent twice"}},
        {"act": "REPAIR", "letter": LETTER | {"value": "c2VhbGVk"}},
    )
    assert [(each["id"], each["act"], each["value"]) for each in found["act.fan-out"]] == [
        ("in.desk/0/0", "RETRY", None),
        ("in.desk/0/2", "REPAIR", "c2VhbGVk"),
    ]
    assert [(each["act"], each["reason"]) for each in found["act.sink.care"]] == [("DISMISS", "sent twice")]
    assert set(found) == {"act.fan-out", "act.sink.care"}


@pytest.mark.parametrize(
    "bad",
    [
        {"act": "RETRY"},
        {"act": "RESEND", "letter": LETTER},
        {"act": "RETRY", "letter": LETTER | {"step": "tracker"}},
        {"act": "RETRY", "letter": LETTER | {"digest": "no digest"}},
        {"act": "REPAIR", "letter": LETTER},
        {"act": "RETRY", "letter": LETTER | {"value": "c2VhbGVk"}},
        {"act": "DISMISS", "letter": LETTER},
        {"act": "RETRY", "letter": LETTER, "juki_cs": {"rows": [row()]}},
    ],
)
def test_an_act_that_says_too_much_or_too_little_is_refused(bad: dict[str, Any]) -> None:
    """Kept with its reason, as every hand-over that is refused."""
    found = outputs(bad)
    assert [each["code"] for each in found["rejected.desk"]] == ["DESK_ACT"]
    assert set(found) == {"rejected.desk"}


def test_hand_overs_of_the_same_person_are_in_order_in_whatever_form() -> None:
    """By mesh codes, never by the resident record code."""
    by_rows = INTAKE.strands(rows_batch([row(code="42990000011")], [row(code="42990000022")]), None)
    event = {"notice": "13104-1", "municipality": "131041", "persons": [{"code": "42990000011"}]}
    (by_event,) = INTAKE.strands(batch("juki-notice", JSON_TOPIC, [event]), None)
    claim = {"domain": "pension", "code": "42990000011", "since": "2026-01-01"}
    (by_claim,) = INTAKE.strands(batch("enrolment", "in.pension", [claim]), None)
    first, second = ({s for s in each.waits if s.startswith("person:")} for each in by_rows)
    assert first == set(by_claim.waits) == {s for s in by_event.waits if s.startswith("person:")}
    assert first.isdisjoint(second)
    assert "42990000011" not in repr((by_rows, by_event, by_claim))


def test_a_notice_of_a_household_waits_for_those_that_name_it() -> None:
    """A notice that puts somebody there is open: who is meant isn't known."""
    named = {"persons": [{"code": "42990000011", "household": "131049000001"}], "notice": "13104-1"}
    meant = {"household": "131049000001", "to": {"address": "一丁目"}, "notice": "13104-2"}
    own = {"persons": [{"code": "42990000022"}], "notice": "13104-3"}
    rows = [each | {"municipality": "131041"} for each in (named, meant, own)]
    first, second, third = INTAKE.strands(batch("juki-notice", JSON_TOPIC, rows), None)
    assert set(first.holds) & set(second.waits)
    assert set(second.holds) & set(first.waits)
    assert not set(first.holds) & set(third.waits)


def test_what_names_nobody_is_nobodys() -> None:
    """A line that is no notice parks nothing behind it."""
    raw = {"raw": "bm8ganNvbg==", "fault": "json"}
    (found,) = INTAKE.strands(batch("juki-notice", JSON_TOPIC, [raw]), None)
    assert (list(found.waits), list(found.holds)) == ([], [])
    (empty,) = INTAKE.strands(rows_batch([], topic=CSV_TOPIC), None)
    assert not empty.holds
