"""The reference model's ledger of accounts: each rule of docs/accounts.md, on a small history worked out by hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import Expected
from infra.verification.reference.reference_model import ExpectedRejection
from tests.unit.test_reference import csv_row, outcome_of

CODE = "42990000011"
ORIGIN, DESTINATION = "131041", "141097"
NAME, NEW_NAME = "シケン　イチロウ", "ベツメイ　イチロウ"
FIRST_REGISTERED = csv_row("13104-1", "初期登録", "2026-03-01")
RENAMED = csv_row("13104-2", "氏名変更", "2026-03-10", kana=NEW_NAME)
MOVED_OUT = csv_row("13104-3", "転出", "2026-03-20", moved_to=DESTINATION)
MOVED_IN = csv_row("14109-1", "転入", "2026-03-21", at=DESTINATION, moved_from=ORIGIN)
NOT_IN_FORCE, OTHER_NAME, SECOND = "ACCOUNT_NOT_IN_FORCE", "ACCOUNT_OTHER_NAME", "ACCOUNT_SECOND"


def event(event_type: str, account: str, day: str, holder: str = NAME, **others: str) -> str:
    """Return a line of the portal's file about an account of the person `CODE`, on a day of March."""
    fields = {
        "event": event_type, "account": account, "code": CODE, "holder_kana": holder, "bank": "0001", "branch": "001",
        "type": "普通", "number": "1234567", "effective_on": f"2026-03-{day}",
    }  # fmt: skip
    return json.dumps({"account": fields | others}, ensure_ascii=False)


def outcome_of_events(folder: Path, *events: str, notices: tuple[str, ...] = (FIRST_REGISTERED,)) -> Expected:
    """Return the model's result for these events of a person who is registered on 1 March."""
    return outcome_of(folder, juki_131041=list(notices), events_portal=list(events))


def portal_accounts(outcome: Expected) -> list[tuple[str, str, str]]:
    """Return ID, status and day of each account at the portal."""
    return [
        (row["account"], row["status"], detail.effective_on[-2:])
        for row, detail in zip(outcome.accounts, outcome.account_details, strict=True)
        if row["domain"] == "portal"
    ]


def conflicts(outcome: Expected) -> list[tuple[str, str]]:
    """Return kind and day of each conflict."""
    return sorted((kind, day[-2:]) for kind, day in outcome.account_conflicts.elements())


def account_rows(outcome: Expected) -> dict[tuple[str, str | None], tuple[str, str]]:
    """Return status and day of each account, by domain and municipality."""
    return {
        (row["domain"], row["municipality"]): (row["status"], detail.effective_on[-2:])
        for row, detail in zip(outcome.accounts, outcome.account_details, strict=True)
    }


def test_only_the_portal_receives_the_account_id(tmp_path: Path) -> None:
    """All domains receive the other columns."""
    outcome = outcome_of_events(tmp_path, event("REGISTERED", "one", "05"))
    columns: dict[str, Any] = {
        "status": "active", "holder_kana": NAME, "bank": "0001", "branch": "001", "type": "普通", "number": "1234567",
    }  # fmt: skip
    assert outcome.accounts == [
        {"domain": "local-tax", "municipality": ORIGIN, **columns},
        {"domain": "portal", "municipality": None, "account": "one", **columns},
    ]
    assert {detail.person for detail in outcome.account_details} == {
        detail.person for detail in outcome.details
    }


@pytest.mark.parametrize(
    ("holder", "day", "equal"),
    [
        (NAME, "09", True),
        (NAME.replace("　", " "), "09", True),
        (NAME.replace("　", ""), "09", False),
        (NEW_NAME, "09", False),
        (NEW_NAME, "10", True),
        (NAME, "10", False),
        (NEW_NAME, "31", True),
    ],
)
def test_the_holder_must_equal_the_reading_after_the_days_notices(
    tmp_path: Path, holder: str, day: str, equal: bool
) -> None:
    """The person is renamed on the 10th. Only the width of the space may differ."""
    outcome = outcome_of_events(
        tmp_path, event("REGISTERED", "one", day, holder), notices=(FIRST_REGISTERED, RENAMED)
    )
    assert portal_accounts(outcome) == ([("one", "active", day)] if equal else [])
    assert conflicts(outcome) == ([] if equal else [(OTHER_NAME, day)])


def test_before_the_first_notice_the_first_reading_applies(tmp_path: Path) -> None:
    """While no notice has made the person known, each account submitted is one conflict."""
    events = [event("REGISTERED", "one", "02"), event("CHANGED", "one", "03"), event("CLOSED", "two", "04")]
    unknown = outcome_of(tmp_path, events_portal=events)
    assert (unknown.accounts, conflicts(unknown)) == ([], [(OTHER_NAME, "03"), (OTHER_NAME, "04")])
    first_notice = csv_row("13104-1", "初期登録", "2026-03-15")
    known = outcome_of_events(
        tmp_path, *events, notices=(first_notice, csv_row("13104-2", "氏名変更", "2026-03-16", kana=NEW_NAME))
    )
    assert (portal_accounts(known), conflicts(known)) == ([("one", "active", "03")], [(NOT_IN_FORCE, "04")])
    assert account_rows(known)["local-tax", ORIGIN] == ("active", "15")


def test_a_second_account_is_a_conflict_until_its_next_event(tmp_path: Path) -> None:
    """It comes into force by a registration or change after the first is closed, not by the closing itself."""
    first, second = event("REGISTERED", "one", "05"), event("REGISTERED", "two", "06")
    closed, changed = event("CLOSED", "one", "07"), event("CHANGED", "two", "08")
    assert conflicts(outcome_of_events(tmp_path, first, second)) == [(SECOND, "06")]
    outcome = outcome_of_events(tmp_path, first, second, closed)
    assert (portal_accounts(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [(SECOND, "06")])
    outcome = outcome_of_events(tmp_path, first, second, closed, changed)
    assert (portal_accounts(outcome), conflicts(outcome)) == ([("two", "active", "08")], [])
    outcome = outcome_of_events(tmp_path, first, second, changed)
    assert (portal_accounts(outcome), conflicts(outcome)) == ([("one", "active", "05")], [(SECOND, "08")])


def test_a_closing_withdraws_the_conflict_of_a_known_account(tmp_path: Path) -> None:
    """Known are a second account, one in another's name, and the one in force after a change to another name."""
    first = event("REGISTERED", "one", "05")
    second, other_holder = event("REGISTERED", "two", "06"), event("REGISTERED", "three", "06", NEW_NAME)
    changed_holder = event("CHANGED", "one", "06", NEW_NAME)
    outcome = outcome_of_events(tmp_path, first, second, other_holder, changed_holder)
    assert conflicts(outcome) == [(OTHER_NAME, "06"), (OTHER_NAME, "06"), (SECOND, "06")]
    assert portal_accounts(outcome) == [("one", "active", "05")]
    closings = [event("CLOSED", account, "07", "") for account in ("one", "two", "three")]
    outcome = outcome_of_events(
        tmp_path, first, second, other_holder, changed_holder, *map(without_details, closings)
    )
    assert (portal_accounts(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [])


def without_details(closing: str) -> str:
    """Return an account event with only the fields that a closing must have."""
    fields = json.loads(closing)["account"]
    return json.dumps(
        {"account": {name: fields[name] for name in ("event", "account", "code", "effective_on")}}
    )


def test_a_change_or_closing_before_its_registration_is_a_conflict(tmp_path: Path) -> None:
    """There is one conflict, whatever the name and the number of events; only a registration withdraws it."""
    early = [
        event("CHANGED", "one", "06", NEW_NAME),
        event("CLOSED", "one", "07"),
        event("CLOSED", "one", "08"),
    ]
    assert conflicts(outcome_of_events(tmp_path, early[0])) == [(NOT_IN_FORCE, "06")]
    assert conflicts(outcome_of_events(tmp_path, *early[:2])) == [(NOT_IN_FORCE, "07")]
    assert conflicts(outcome_of_events(tmp_path, *early)) == [(NOT_IN_FORCE, "08")]
    outcome = outcome_of_events(tmp_path, *early[1:2], event("REGISTERED", "one", "05"))
    assert (portal_accounts(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [])
    outcome = outcome_of_events(tmp_path, *early[1:], event("REGISTERED", "one", "09"))
    assert (portal_accounts(outcome), conflicts(outcome)) == ([("one", "active", "09")], [])


def test_events_of_a_day_apply_in_the_documented_order(tmp_path: Path) -> None:
    """First those of the account in force at the start of day, then by event type, account ID and other columns."""
    first = event("REGISTERED", "m", "05")
    events = [
        event("REGISTERED", "b", "06"),
        event("CHANGED", "b", "06", number="1111111"),
        event("CHANGED", "b", "06", number="0000000", bank="0002"),
        event("REGISTERED", "a", "06"),
        event("CLOSED", "m", "06"),
    ]
    for order in (events, events[::-1]):
        outcome = outcome_of_events(tmp_path, *order, first)
        assert (portal_accounts(outcome), conflicts(outcome)) == ([("a", "active", "06")], [(SECOND, "06")])
        outcome = outcome_of_events(tmp_path, *[line for line in order if '"a"' not in line], first)
        assert portal_accounts(outcome) == [("b", "active", "06")]
        assert {(row["bank"], row["number"]) for row in outcome.accounts} == {("0002", "0000000")}


def test_neither_order_nor_repetition_of_submissions_matters(tmp_path: Path) -> None:
    """A repeated event is a duplicate; events apply by their day."""
    events = [event("REGISTERED", "one", "05"), event("CHANGED", "one", "06"), event("CLOSED", "one", "07")]
    for order in permutations(events):
        outcome = outcome_of_events(tmp_path, *order, *events)
        assert (portal_accounts(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [])
        assert [duplicate.line for duplicate in outcome.duplicates] == [4, 5, 6]


def test_domains_with_an_open_row_have_the_account(tmp_path: Path) -> None:
    """A move deletes the origin's account; the destination's begins when its row opens; pension keeps its own."""
    outcome = outcome_of(
        tmp_path,
        juki_131041=[FIRST_REGISTERED, MOVED_OUT],
        juki_141097=[MOVED_IN],
        enrolments=[f"child,{ORIGIN},{CODE},2026-03-02", f"pension,,{CODE},2026-03-11"],
        events_portal=[event("REGISTERED", "one", "05")],
    )
    assert account_rows(outcome) == {
        ("portal", None): ("active", "05"),
        ("pension", None): ("active", "11"),
        ("local-tax", DESTINATION): ("active", "21"),
        ("child", DESTINATION): ("active", "21"),
    }


def test_only_rows_open_since_the_closing_have_a_closed_account(tmp_path: Path) -> None:
    """Rows that open later don't have it, not even rows that were open before."""
    files = {
        "juki_131041": [FIRST_REGISTERED, MOVED_OUT],
        "juki_141097": [MOVED_IN],
        "enrolments": [f"pension,,{CODE},2026-03-11", f"child,{DESTINATION},{CODE},2026-03-25"],
    }
    events = [event("REGISTERED", "one", "05"), event("CLOSED", "one", "22")]
    outcome = outcome_of(tmp_path, **files, events_portal=events)
    portal, pension, tax = ("portal", None), ("pension", None), ("local-tax", DESTINATION)
    assert account_rows(outcome) == dict.fromkeys([portal, pension, tax], ("closed", "22"))
    moves_back = [
        csv_row("14109-2", "転出", "2026-03-26", at=DESTINATION, moved_to=ORIGIN),
        csv_row("13104-9", "転入", "2026-03-26", moved_from=DESTINATION),
    ]
    files |= {
        "juki_131041": [FIRST_REGISTERED, MOVED_OUT, moves_back[1]],
        "juki_141097": [MOVED_IN, moves_back[0]],
    }
    outcome = outcome_of(tmp_path, **files, events_portal=events)
    assert account_rows(outcome) == dict.fromkeys([portal, pension], ("closed", "22"))


def test_the_portal_may_submit_enrolments_of_its_own_domain(tmp_path: Path) -> None:
    """A line has the fields of a row of enrolments.csv. An enrolment of another domain is rejected."""
    enrolment = {"domain": "portal", "municipality": None, "code": CODE, "since": "2026-03-02"}
    lines = [json.dumps({"enrolment": fields}) for fields in (enrolment, enrolment | {"domain": "pension"})]
    outcome = outcome_of_events(tmp_path, *lines, notices=(FIRST_REGISTERED, RENAMED))
    assert outcome.portal == [[["氏名変更", "2026-03-10"]]]
    assert outcome.rejections == [ExpectedRejection("events_portal.jsonl", 2, None, "other-domain")]


#: Faulty lines and their faults.
FAULTY_LINES = (
    ("no JSON", "json"),
    ("[]", "fields"),
    ("{}", "fields"),
    ('{"account": {}, "enrolment": {}}', "fields"),
    ('{"account": []}', "fields"),
    ('{"account": {"more": ""}}', "fields"),
    ('{"account": {"event": 1}}', "types"),
    (event("OPENED", "one", "05"), "format:event"),
    (event("CLOSED", "", "05"), "format:account"),
    (event("REGISTERED", "one", "05", code="4299000001"), "format:code"),
    (event("REGISTERED", "one", "5"), "format:effective_on"),
    (event("REGISTERED", "one", "05", "試験　一郎"), "format:holder_kana"),
    (event("CHANGED", "one", "05", bank="1"), "format:bank"),
    (event("CHANGED", "one", "05", branch="1"), "format:branch"),
    (event("CHANGED", "one", "05", type=" "), "format:type"),
    (event("CLOSED", "one", "05", number="1"), "format:number"),
    (without_details(event("REGISTERED", "one", "05")), "format:holder_kana"),
)


@pytest.mark.parametrize(("line", "reason"), FAULTY_LINES)
def test_a_faulty_line_is_rejected(tmp_path: Path, line: str, reason: str) -> None:
    """The rejection has file, line and fault; the next line is read."""
    outcome = outcome_of_events(tmp_path, line, event("REGISTERED", "two", "06"))
    assert outcome.rejections == [ExpectedRejection("events_portal.jsonl", 1, None, reason)]
    assert portal_accounts(outcome) == [("two", "active", "06")]
