"""Enrolments, accounts, what an officer sends again, and who may say it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from processors.codes import MESH, CodeKind
from processors.intake import IntakeProcessor
from processors.rejections import find_repeats
from tests.unit.processors.submissions import batch, event, key_ring, refusals, row, rows_batch, rows_of

KEYS = key_ring()
INTAKE = IntakeProcessor(KEYS)
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


def test_an_enrolment_becomes_an_entry_of_the_persons_history() -> None:
    """Keyed by the mesh code, which the key ring alone turns back."""
    result = INTAKE.process([batch("enrolment", "in.child.131041", [{"file": "e.csv", "line": 2, **CHILD}])])
    (output,) = result.outputs
    (change,) = output.table.to_pylist()
    assert output.key.to_pylist() == [change["person"]]
    assert KEYS.cipher(MESH).values(output.key, CodeKind.PERSON).to_pylist() == [CODE.encode()]
    assert (change["kind"], change["domain"], change["municipality"]) == ("ENROLMENT", "child", "131041")
    assert change["effective_on"] == date(2026, 3, 1)
    assert change["origin"]["line"] == 2


@pytest.mark.parametrize(
    ("topic", "given", "spoiled", "code"),
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
def test_an_enrolment_is_refused(
    topic: str, given: dict[str, Any], spoiled: dict[str, Any], code: str
) -> None:
    """Form first, then whether the submitter may speak for the domain and the municipality."""
    assert refusals(INTAKE.process([batch("enrolment", topic, [given | spoiled])])) == [(None, code)]


def test_the_portal_files_enrolments_and_accounts() -> None:
    """In the order in which they came."""
    enrolment = {**PENSION, "domain": "portal"}
    closing = dict.fromkeys(ACCOUNT, None) | {"event": "CLOSED"}
    closing |= {name: ACCOUNT[name] for name in ("account", "code", "effective_on")}
    filed: list[dict[str, Any]] = [{"account": ACCOUNT}, {"enrolment": enrolment}, {"account": closing}]
    changes = rows_of(INTAKE.process([batch("portal-event", "in.portal", filed)]), "person.change")
    assert [each["kind"] for each in changes] == ["ACCOUNT", "ENROLMENT", "ACCOUNT"]
    assert [(each["account"] or {}).get("event") for each in changes] == ["REGISTERED", None, "CLOSED"]
    assert changes[0]["account"] == {name: ACCOUNT[name] for name in changes[0]["account"]}
    assert len({each["person"] for each in changes}) == 1


@pytest.mark.parametrize(
    ("spoiled", "code"),
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
def test_an_account_is_refused(spoiled: dict[str, Any], code: str) -> None:
    """Closing needs no details, but those given have their form."""
    filed = [{"account": ACCOUNT | spoiled}]
    assert refusals(INTAKE.process([batch("portal-event", "in.portal", filed)])) == [(None, code)]


def test_an_event_of_the_portal_is_one_thing() -> None:
    """Neither both nor neither."""
    filed: list[dict[str, Any]] = [
        {"line": 1},
        {"account": ACCOUNT, "enrolment": {**PENSION, "domain": "portal"}},
    ]
    assert [code for _, code in refusals(INTAKE.process([batch("portal-event", "in.portal", filed)]))] == [
        "PORTAL_EVENT",
        "PORTAL_EVENT",
    ]


def _acts(*acts: dict[str, Any]) -> Any:
    return INTAKE.process([batch("operator-command", "in.operator", acts)])


ORIGIN = {"topic": "in.juki-cs.131041", "partition": 0, "offset": 41, "file": "juki_131041.csv", "line": 7}


def test_an_officer_sends_again_for_whom_it_was_handed_over() -> None:
    """It is marked, points to where it stood first, and has the digest that it had."""
    filed = {"file": "juki_131041.csv", "line": 7, "rows": [row()]}
    (again,) = rows_of(_acts({"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": filed}), "notice")
    (first,) = rows_of(INTAKE.process([rows_batch([row()])]), "notice")
    assert again["resubmitted"]
    assert not first["resubmitted"]
    assert again["origin"] == ORIGIN
    assert again["digest"] == first["digest"]


def test_an_officer_can_not_lend_rights() -> None:
    """What the first submitter might not say stays refused, judged anew."""
    spoiled = row(municipality="012033")
    filed = {"rows": [spoiled]}
    (again,) = rows_of(_acts({"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": filed}), "rejected.juki-cs")
    (first,) = rows_of(INTAKE.process([rows_batch([spoiled])]), "rejected.juki-cs")
    assert again["code"] == first["code"] == "NOT_SUBMITTER"
    assert not any(find_repeats([first["id"], again["id"]]))


def test_acts_keep_their_order_whatever_was_sent_again() -> None:
    """A municipality may have changed its system between two hand-overs."""
    of_events = ORIGIN | {"topic": "in.juki.131041"}
    acts = [
        {"command": "RESUBMIT", "origin": of_events, "juki": event(notice="13104-1")},
        {"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": {"rows": [row(notice="13104-2")]}},
        {"command": "RESUBMIT", "origin": of_events, "juki": event(notice="13104-3")},
        {"command": "RESUBMIT", "origin": ORIGIN | {"topic": "in.pension"}, "enrolment": PENSION},
    ]
    result = _acts(*acts)
    assert [each["notice"] for each in rows_of(result, "notice")] == ["13104-1", "13104-2", "13104-3"]
    assert len(rows_of(result, "person.change")) == 1
    assert not refusals(result)


@pytest.mark.parametrize(
    "act",
    [
        {"command": "UNKNOWN", "juki": event()},
        {"command": "RESUBMIT"},
        {"command": "RESUBMIT", "juki": event()},
        {"command": "RESUBMIT", "juki_cs": {"rows": [row()]}, "juki": event()},
        {"command": "RESUBMIT", "origin": ORIGIN | {"topic": "nowhere"}, "juki_cs": {"rows": [row()]}},
    ],
)
def test_an_act_of_no_known_form_is_refused(act: dict[str, Any]) -> None:
    """Nothing sent again, two things, or a kind that the first topic doesn't hold."""
    result = _acts({"origin": ORIGIN, **act})
    assert refusals(result) == [(None, "DESK_ACT")]
    assert [output.topic for output in result.outputs] == ["rejected.operator"]


def test_a_hand_over_in_anothers_topic_is_poison() -> None:
    """A system's topic holds its own events only; the others of the batch go on."""
    stray = batch("enrolment", "in.juki-cs.131041", [CHILD])
    good = batch("enrolment", "in.child.131041", [CHILD])
    result = INTAKE.process([stray, good])
    assert [(each.batch, each.index, each.reason) for each in result.poison] == [(0, 0, "wrong-topic")]
    assert len(rows_of(result, "person.change")) == 1


def test_nothing_in_nothing_out() -> None:
    """An empty batch of every kind."""
    kinds = ("juki-cs-notice", "juki-notice", "enrolment", "portal-event", "operator-command")
    result = INTAKE.process([batch(schema, "in.x", []) for schema in kinds])
    assert not result.outputs
    assert not result.poison
