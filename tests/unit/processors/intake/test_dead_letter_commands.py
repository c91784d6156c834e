"""Acts on dead letters go to the step that set the record aside; and what must stay in order at the door."""

from __future__ import annotations

from typing import Any

import pytest

from processors.intake import IntakeProcessor
from tests.unit.processors.submissions import CSV_TOPIC, JSON_TOPIC, batch, key_ring, row, rows_batch

INTAKE = IntakeProcessor(key_ring())
ORIGIN = {"topic": "person.change", "partition": 2, "offset": 7}
LETTER = {"step": "fan-out", "digest": "0123456789abcdef01234567"}


def outputs(*acts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What intake makes of acts, by topic."""
    result = INTAKE.process(
        [batch("operator-command", "in.operator", [{"origin": ORIGIN} | act for act in acts])]
    )
    assert not result.poison
    return {output.topic: output.table.to_pylist() for output in result.outputs}


def test_an_act_goes_to_the_letters_step() -> None:
    """With the place where it was filed as its id, so that a replay repeats it."""
    found = outputs(
        {"command": "RETRY", "dead_letter": LETTER},
        {"command": "DISMISS", "dead_letter": LETTER | {"step": "sink.care", "reason": "sent twice"}},
        {"command": "REPAIR", "dead_letter": LETTER | {"value": "c2VhbGVk"}},
    )
    assert [(each["id"], each["command"], each["value"]) for each in found["command.fan-out"]] == [
        ("in.operator/0/0", "RETRY", None),
        ("in.operator/0/2", "REPAIR", "c2VhbGVk"),
    ]
    assert [(each["command"], each["reason"]) for each in found["command.sink.care"]] == [
        ("DISMISS", "sent twice")
    ]
    assert set(found) == {"command.fan-out", "command.sink.care"}


@pytest.mark.parametrize(
    "bad",
    [
        {"command": "RETRY"},
        {"command": "RESUBMIT", "dead_letter": LETTER},
        {"command": "RETRY", "dead_letter": LETTER | {"step": "tracker"}},
        {"command": "RETRY", "dead_letter": LETTER | {"digest": "no digest"}},
        {"command": "REPAIR", "dead_letter": LETTER},
        {"command": "RETRY", "dead_letter": LETTER | {"value": "c2VhbGVk"}},
        {"command": "DISMISS", "dead_letter": LETTER},
        {"command": "RETRY", "dead_letter": LETTER, "juki_cs": {"rows": [row()]}},
    ],
)
def test_an_act_that_says_too_much_or_too_little_is_refused(bad: dict[str, Any]) -> None:
    """Kept with its reason, as every hand-over that is refused."""
    found = outputs(bad)
    assert [each["code"] for each in found["rejected.operator"]] == ["DESK_ACT"]
    assert set(found) == {"rejected.operator"}


def test_hand_overs_of_the_same_person_are_in_order_in_whatever_form() -> None:
    """By mesh codes, never by the resident record code."""
    by_rows = INTAKE.ordering_keys(rows_batch([row(code="42990000011")], [row(code="42990000022")]), None)
    event = {"notice": "13104-1", "municipality": "131041", "persons": [{"code": "42990000011"}]}
    (by_event,) = INTAKE.ordering_keys(batch("juki-notice", JSON_TOPIC, [event]), None)
    claim = {"domain": "pension", "code": "42990000011", "since": "2026-01-01"}
    (by_claim,) = INTAKE.ordering_keys(batch("enrolment", "in.pension", [claim]), None)
    first, second = ({s for s in each.waits_for if s.startswith("person:")} for each in by_rows)
    assert first == set(by_claim.waits_for) == {s for s in by_event.waits_for if s.startswith("person:")}
    assert first.isdisjoint(second)
    assert "42990000011" not in repr((by_rows, by_event, by_claim))


def test_a_notice_of_a_household_waits_for_those_that_name_it() -> None:
    """A notice that puts somebody there is open: who is meant isn't known."""
    named = {"persons": [{"code": "42990000011", "household": "131049000001"}], "notice": "13104-1"}
    meant = {"household": "131049000001", "to": {"address": "一丁目"}, "notice": "13104-2"}
    own = {"persons": [{"code": "42990000022"}], "notice": "13104-3"}
    rows = [each | {"municipality": "131041"} for each in (named, meant, own)]
    first, second, third = INTAKE.ordering_keys(batch("juki-notice", JSON_TOPIC, rows), None)
    assert set(first.blocks) & set(second.waits_for)
    assert set(second.blocks) & set(first.waits_for)
    assert not set(first.blocks) & set(third.waits_for)


def test_what_names_nobody_is_nobodys() -> None:
    """A line that is no notice parks nothing behind it."""
    raw = {"raw": "bm8ganNvbg==", "fault": "json"}
    (found,) = INTAKE.ordering_keys(batch("juki-notice", JSON_TOPIC, [raw]), None)
    assert (list(found.waits_for), list(found.blocks)) == ([], [])
    (empty,) = INTAKE.ordering_keys(rows_batch([], topic=CSV_TOPIC), None)
    assert not empty.blocks
