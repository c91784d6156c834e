"""Operator commands on dead letters go to the step that failed; and the ordering keys of submissions."""

from __future__ import annotations

from typing import Any

import pytest

from processors.intake import IntakeProcessor
from processors.intake.submission_limits import DEAD_LETTERS_MAX
from tests.unit.processors.submissions import CSV_TOPIC, JSON_TOPIC, batch, csv_notices, csv_row, key_ring

INTAKE = IntakeProcessor(key_ring())
ORIGIN = {"topic": "person.change", "partition": 2, "offset": 7}
DEAD_LETTER = {"step": "fan-out", "digest": "0123456789abcdef01234567"}


def outputs(*commands: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return intake's outputs for operator commands, by topic."""
    result = INTAKE.process(
        [batch("operator-command", "in.operator", [{"origin": ORIGIN} | command for command in commands])]
    )
    assert not result.poison
    return {output.topic: output.table.to_pylist() for output in result.outputs}


def test_a_command_goes_to_the_step_of_its_dead_letter() -> None:
    """Its ID is the position of the operator's record, so that a replay repeats it."""
    by_topic = outputs(
        {"command": "RETRY", "dead_letter": DEAD_LETTER},
        {"command": "DISMISS", "dead_letter": DEAD_LETTER | {"step": "sink.care", "reason": "sent twice"}},
        {"command": "REPAIR", "dead_letter": DEAD_LETTER | {"value": "c2VhbGVk"}},
    )
    assert [(row["id"], row["command"], row["value"]) for row in by_topic["command.fan-out"]] == [
        ("in.operator/0/0", "RETRY", None),
        ("in.operator/0/2", "REPAIR", "c2VhbGVk"),
    ]
    assert [(row["command"], row["reason"]) for row in by_topic["command.sink.care"]] == [
        ("DISMISS", "sent twice")
    ]
    assert set(by_topic) == {"command.fan-out", "command.sink.care"}


SEVERAL = {"step": "intake", "digest": "", "digests": ["0" * 24, "1" * 24], "reason": "no notices"}


def test_one_command_dismisses_several_dead_letters() -> None:
    """It stays one record; there is a limit to what it names."""
    (command,) = outputs({"command": "DISMISS", "dead_letter": SEVERAL})["command.intake"]
    assert (command["digest"], command["digests"]) == ("", SEVERAL["digests"])
    most = [f"{number:024x}" for number in range(DEAD_LETTERS_MAX)]
    assert "command.intake" in outputs({"command": "DISMISS", "dead_letter": SEVERAL | {"digests": most}})
    too_many = SEVERAL | {"digests": [*most, "f" * 24]}
    assert set(outputs({"command": "DISMISS", "dead_letter": too_many})) == {"rejected.operator"}


@pytest.mark.parametrize(
    "invalid",
    [
        {"command": "RETRY"},
        {"command": "RESUBMIT", "dead_letter": DEAD_LETTER},
        {"command": "RETRY", "dead_letter": DEAD_LETTER | {"step": "tracker"}},
        {"command": "RETRY", "dead_letter": DEAD_LETTER | {"digest": "no digest"}},
        {"command": "REPAIR", "dead_letter": DEAD_LETTER},
        {"command": "RETRY", "dead_letter": DEAD_LETTER | {"value": "c2VhbGVk"}},
        {"command": "DISMISS", "dead_letter": DEAD_LETTER},
        {"command": "RETRY", "dead_letter": DEAD_LETTER, "juki_cs": {"rows": [csv_row()]}},
        {"command": "RETRY", "dead_letter": SEVERAL | {"reason": None}},
        {"command": "DISMISS", "dead_letter": SEVERAL | {"digest": "2" * 24}},
        {"command": "DISMISS", "dead_letter": SEVERAL | {"digests": ["0" * 24, "no digest"]}},
        {"command": "DISMISS", "dead_letter": SEVERAL | {"digests": []}},
        {"command": "DISMISS", "dead_letter": DEAD_LETTER | {"reason": "x" * 501}},
    ],
)
def test_a_command_with_missing_or_unexpected_fields_is_rejected(invalid: dict[str, Any]) -> None:
    """It has a rejection with a reason, like any rejected submission."""
    by_topic = outputs(invalid)
    assert [row["code"] for row in by_topic["rejected.operator"]] == ["OPERATOR_COMMAND"]
    assert set(by_topic) == {"rejected.operator"}


def test_submissions_of_a_person_share_an_ordering_key_in_any_format() -> None:
    """The key has the mesh code, never the resident record code."""
    by_csv = INTAKE.ordering_keys(
        csv_notices([csv_row(code="42990000011")], [csv_row(code="42990000022")]), None
    )
    event = {"notice": "13104-1", "municipality": "131041", "persons": [{"code": "42990000011"}]}
    (by_json,) = INTAKE.ordering_keys(batch("juki-notice", JSON_TOPIC, [event]), None)
    enrolment = {"domain": "pension", "code": "42990000011", "since": "2026-01-01"}
    (by_enrolment,) = INTAKE.ordering_keys(batch("enrolment", "in.pension", [enrolment]), None)
    first, second = ({key for key in keys.waits_for if key.startswith("person:")} for keys in by_csv)
    assert (
        first
        == set(by_enrolment.waits_for)
        == {key for key in by_json.waits_for if key.startswith("person:")}
    )
    assert first.isdisjoint(second)
    assert "42990000011" not in repr((by_csv, by_json, by_enrolment))


def test_a_household_notice_waits_for_notices_that_name_the_household() -> None:
    """A notice that puts a person there may change to whom it applies. A notice of another person isn't blocked."""
    with_household = {"persons": [{"code": "42990000011", "household": "131049000001"}], "notice": "13104-1"}
    of_household = {"household": "131049000001", "to": {"address": "一丁目"}, "notice": "13104-2"}
    of_other_person = {"persons": [{"code": "42990000022"}], "notice": "13104-3"}
    rows = [row | {"municipality": "131041"} for row in (with_household, of_household, of_other_person)]
    first, second, third = INTAKE.ordering_keys(batch("juki-notice", JSON_TOPIC, rows), None)
    assert set(first.blocks) & set(second.waits_for)
    assert set(second.blocks) & set(first.waits_for)
    assert not set(first.blocks) & set(third.waits_for)


def test_a_submission_without_a_person_has_no_ordering_keys() -> None:
    """A line that is no notice blocks nothing."""
    raw = {"raw": "bm8ganNvbg==", "fault": "json"}
    (by_topic,) = INTAKE.ordering_keys(batch("juki-notice", JSON_TOPIC, [raw]), None)
    assert (list(by_topic.waits_for), list(by_topic.blocks)) == ([], [])
    (empty,) = INTAKE.ordering_keys(csv_notices([], topic=CSV_TOPIC), None)
    assert not empty.blocks
