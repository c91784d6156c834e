"""Enrolments, account events, resubmissions, and who may submit them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from processors.codes import MESH, CodeKind
from processors.intake import IntakeProcessor
from processors.rejections import find_repeats
from schemas.systems import DIGEST_PURPOSES
from tests.unit.processors.submissions import (
    batch,
    csv_notices,
    csv_row,
    high_sealer,
    json_notice,
    key_ring,
    records_of,
    rejections,
)

KEYS = key_ring()
INTAKE = IntakeProcessor(KEYS, high_sealer())
CODE = "42990000011"
CHILD = {"domain": "child", "municipality": "131041", "code": CODE, "since": "2026-03-01"}
PENSION = {"domain": "pension", "municipality": "", "code": CODE, "since": "2026-03-01"}
ACCOUNT: dict[str, Any] = {
    "event": "REGISTERED",
    "account": "a-1",
    "code": CODE,
    "holder_kana": "シケン　イチロウ",
    "bank": "0001",
    "branch": "001",
    "type": "普通",
    "number": "1234567",
    "effective_on": "2026-03-01",
}


def test_an_enrolment_becomes_a_change_of_the_person() -> None:
    """Its key is the mesh code, which only the key ring decodes."""
    result = INTAKE.process([batch("enrolment", "in.child.131041", [{"file": "e.csv", "line": 2, **CHILD}])])
    (output,) = result.outputs
    (change,) = output.table.to_pylist()
    assert output.key.to_pylist() == [change["person"]]
    assert KEYS.cipher(MESH).values(output.key, CodeKind.PERSON).to_pylist() == [CODE.encode()]
    assert (change["kind"], change["domain"], change["municipality"]) == ("ENROLMENT", "child", "131041")
    assert change["effective_on"] == date(2026, 3, 1)
    assert change["origin"]["line"] == 2


@pytest.mark.parametrize(
    ("topic", "enrolment", "overrides", "code"),
    [
        ("in.child.131041", CHILD, {"domain": "tax"}, "FORM_DOMAIN"),
        ("in.child.131041", CHILD, {"domain": "local-tax"}, "FORM_DOMAIN"),
        ("in.child.131041", CHILD, {"municipality": "131042"}, "FORM_MUNICIPALITY"),
        ("in.child.131041", CHILD, {"municipality": ""}, "FORM_MUNICIPALITY"),
        ("in.child.131041", CHILD, {"code": None}, "FORM_CODE"),
        ("in.child.131041", CHILD, {"since": "2026-02-30"}, "FORM_SINCE"),
        ("in.child.131041", CHILD, {"domain": "care"}, "NOT_DOMAIN"),
        ("in.child.131041", CHILD, {"municipality": "012033"}, "NOT_SUBMITTER"),
        ("in.child.131041", CHILD, {"fault": "columns", "raw": "eA=="}, "UNREADABLE"),
        ("in.pension", PENSION, {"municipality": "131041"}, "FORM_MUNICIPALITY"),
        ("in.pension", PENSION, {"domain": "nta"}, "NOT_DOMAIN"),
    ],
)
def test_an_invalid_enrolment_is_rejected(
    topic: str, enrolment: dict[str, Any], overrides: dict[str, Any], code: str
) -> None:
    """Formats first, then whether the submitter may submit for the domain and the municipality."""
    assert rejections(INTAKE.process([batch("enrolment", topic, [enrolment | overrides])])) == [(None, code)]


def test_the_portal_submits_enrolments_and_account_events() -> None:
    """Their changes are published in the order of arrival."""
    enrolment = {**PENSION, "domain": "portal"}
    closing = dict.fromkeys(ACCOUNT, None) | {"event": "CLOSED"}
    closing |= {name: ACCOUNT[name] for name in ("account", "code", "effective_on")}
    submissions: list[dict[str, Any]] = [{"account": ACCOUNT}, {"enrolment": enrolment}, {"account": closing}]
    changes = records_of(INTAKE.process([batch("portal-event", "in.portal", submissions)]), "person.change")
    assert [row["kind"] for row in changes] == ["ACCOUNT", "ENROLMENT", "ACCOUNT"]
    assert [(row["account"] or {}).get("event") for row in changes] == ["REGISTERED", None, "CLOSED"]
    assert changes[0]["account"] == {name: ACCOUNT[name] for name in changes[0]["account"]}
    assert len({row["person"] for row in changes}) == 1


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"event": "UNKNOWN"}, "FORM_EVENT"),
        ({"account": ""}, "FORM_ACCOUNT"),
        ({"code": "1"}, "FORM_CODE"),
        ({"holder_kana": "試験"}, "FORM_HOLDER"),
        ({"bank": None}, "FORM_BANK"),
        ({"branch": "1"}, "FORM_BRANCH"),
        ({"type": ""}, "FORM_TYPE"),
        ({"event": "CLOSED", "number": "12"}, "FORM_ACCOUNT_NUMBER"),
        ({"effective_on": "x"}, "FORM_EFFECTIVE_ON"),
    ],
)
def test_an_invalid_account_event_is_rejected(overrides: dict[str, Any], code: str) -> None:
    """A closing needs no details, but if it has them they must be valid."""
    submissions = [{"account": ACCOUNT | overrides}]
    assert rejections(INTAKE.process([batch("portal-event", "in.portal", submissions)])) == [(None, code)]


def test_a_portal_event_has_exactly_one_part() -> None:
    """Both parts, or none, are rejected."""
    submissions: list[dict[str, Any]] = [
        {"line": 1},
        {"account": ACCOUNT, "enrolment": {**PENSION, "domain": "portal"}},
    ]
    assert [
        code for _, code in rejections(INTAKE.process([batch("portal-event", "in.portal", submissions)]))
    ] == [
        "PORTAL_EVENT",
        "PORTAL_EVENT",
    ]


def _process_commands(*commands: dict[str, Any]) -> Any:
    return INTAKE.process([batch("operator-command", "in.operator", commands)])


ORIGIN = {"topic": "in.juki-cs.131041", "partition": 0, "offset": 41, "file": "juki_131041.csv", "line": 7}


def test_a_resubmission_keeps_origin_and_digest() -> None:
    """It is marked as resubmitted."""
    submission = {"file": "juki_131041.csv", "line": 7, "rows": [csv_row()]}
    (resubmitted,) = records_of(
        _process_commands({"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": submission}), "notice"
    )
    (first,) = records_of(INTAKE.process([csv_notices([csv_row()])]), "notice")
    assert resubmitted["resubmitted"]
    assert not first["resubmitted"]
    assert resubmitted["origin"] == ORIGIN
    assert resubmitted["digest"] == first["digest"]


def test_a_resubmission_has_the_first_submitters_permissions() -> None:
    """It is validated again, and rejected if the first submitter may not submit it."""
    overrides = csv_row(municipality="012033")
    submission = {"rows": [overrides]}
    (resubmitted,) = records_of(
        _process_commands({"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": submission}),
        "rejected.juki-cs",
    )
    (first,) = records_of(INTAKE.process([csv_notices([overrides])]), "rejected.juki-cs")
    assert resubmitted["code"] == first["code"] == "NOT_SUBMITTER"
    assert not any(find_repeats([first["id"], resubmitted["id"]]))


def test_resubmissions_keep_their_order() -> None:
    """A municipality may have changed its system, and so the format, between two submissions."""
    of_json = ORIGIN | {"topic": "in.juki.131041"}
    commands = [
        {"command": "RESUBMIT", "origin": of_json, "juki": json_notice(notice="13104-1")},
        {"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": {"rows": [csv_row(notice="13104-2")]}},
        {"command": "RESUBMIT", "origin": of_json, "juki": json_notice(notice="13104-3")},
        {"command": "RESUBMIT", "origin": ORIGIN | {"topic": "in.pension"}, "enrolment": PENSION},
    ]
    result = _process_commands(*commands)
    assert [row["notice"] for row in records_of(result, "notice")] == ["13104-1", "13104-2", "13104-3"]
    assert len(records_of(result, "person.change")) == 1
    assert not rejections(result)


@pytest.mark.parametrize(
    "command",
    [
        {"command": "UNKNOWN", "juki": json_notice()},
        {"command": "RESUBMIT"},
        {"command": "RESUBMIT", "juki": json_notice()},
        {"command": "RESUBMIT", "juki_cs": {"rows": [csv_row()]}, "juki": json_notice()},
        {"command": "RESUBMIT", "origin": ORIGIN | {"topic": "nowhere"}, "juki_cs": {"rows": [csv_row()]}},
    ],
)
def test_an_invalid_resubmission_is_rejected(command: dict[str, Any]) -> None:
    """It has no submission, two, or one that the first topic can't have."""
    result = _process_commands({"origin": ORIGIN, **command})
    assert rejections(result) == [(None, "OPERATOR_COMMAND")]
    assert [output.topic for output in result.outputs] == ["rejected.operator"]


def test_a_submission_in_a_wrong_topic_is_poison() -> None:
    """The other submissions of the batch are processed."""
    stray = batch("enrolment", "in.juki-cs.131041", [CHILD])
    valid = batch("enrolment", "in.child.131041", [CHILD])
    result = INTAKE.process([stray, valid])
    assert [(poison.batch, poison.index, poison.reason) for poison in result.poison] == [
        (0, 0, "wrong-topic")
    ]
    assert len(records_of(result, "person.change")) == 1


def test_an_empty_batch_has_no_output() -> None:
    """For every schema that intake reads."""
    result = INTAKE.process([batch(schema, "in.x", []) for schema in DIGEST_PURPOSES])
    assert not result.outputs
    assert not result.poison
