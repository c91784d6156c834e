"""The reference model's ledger of accounts: each rule of docs/accounts.md on a small history, worked out by hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import Expected
from infra.verification.reference.reference_model import ExpectedRejection
from tests.unit.test_reference import outcome_of, row

CODE, OTHER = "42990000011", "42990000012"
HERE, THERE = "131041", "141097"
NAME, NEW_NAME = "シケン　イチロウ", "ベツメイ　イチロウ"
KNOWN = row("13104-1", "初期登録", "2026-03-01")
RENAMED = row("13104-2", "氏名変更", "2026-03-10", kana=NEW_NAME)
OUT = row("13104-3", "転出", "2026-03-20", moved_to=THERE)
IN = row("14109-1", "転入", "2026-03-21", at=THERE, moved_from=HERE)
NOT_IN_FORCE, OTHER_NAME, SECOND = "ACCOUNT_NOT_IN_FORCE", "ACCOUNT_OTHER_NAME", "ACCOUNT_SECOND"


def event(what: str, account: str, day: str, holder: str = NAME, **others: str) -> str:
    """A line of the portal's file, on a day of March."""
    filed = {
        "event": what, "account": account, "code": CODE, "holder_kana": holder, "bank": "0001", "branch": "001",
        "type": "普通", "number": "1234567", "effective_on": f"2026-03-{day}",
    }  # fmt: skip
    return json.dumps({"account": filed | others}, ensure_ascii=False)


def ledger(folder: Path, *events: str, listed: tuple[str, ...] = (KNOWN,)) -> Expected:
    """What comes of these events of somebody whom one municipality knows from 1 March."""
    return outcome_of(folder, juki_131041=list(listed), events_portal=list(events))


def in_ledger(outcome: Expected) -> list[tuple[str, str, str]]:
    """The portal's accounts: id, status and day."""
    rows = zip(outcome.accounts, outcome.account_details, strict=True)
    return [
        (it["account"], it["status"], detail.effective_on[-2:])
        for it, detail in rows
        if it["domain"] == "portal"
    ]


def conflicts(outcome: Expected) -> list[tuple[str, str]]:
    """Kind and day of each that is open."""
    return sorted((kind, day[-2:]) for kind, day in outcome.account_conflicts.elements())


def told(outcome: Expected) -> dict[tuple[str, str | None], tuple[str, str]]:
    """Who has an account: by domain and municipality, its status and day."""
    rows = zip(outcome.accounts, outcome.account_details, strict=True)
    return {
        (it["domain"], it["municipality"]): (it["status"], detail.effective_on[-2:]) for it, detail in rows
    }


def test_the_columns_of_each_domain(tmp_path: Path) -> None:
    """The ledger has the portal's id besides; nobody else knows it."""
    outcome = ledger(tmp_path, event("REGISTERED", "one", "05"))
    details: dict[str, Any] = {
        "status": "active", "holder_kana": NAME, "bank": "0001", "branch": "001", "type": "普通", "number": "1234567",
    }  # fmt: skip
    assert outcome.accounts == [
        {"domain": "local-tax", "municipality": HERE, **details},
        {"domain": "portal", "municipality": None, "account": "one", **details},
    ]
    assert {it.person for it in outcome.account_details} == {it.person for it in outcome.details}


@pytest.mark.parametrize(
    ("holder", "day", "right"),
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
def test_the_name_is_that_after_the_days_notices(tmp_path: Path, holder: str, day: str, right: bool) -> None:
    """Renamed on the 10th; only the width of the space is free."""
    outcome = ledger(tmp_path, event("REGISTERED", "one", day, holder), listed=(KNOWN, RENAMED))
    assert in_ledger(outcome) == ([("one", "active", day)] if right else [])
    assert conflicts(outcome) == ([] if right else [(OTHER_NAME, day)])


def test_who_is_not_known_by_then_has_the_first_name_known(tmp_path: Path) -> None:
    """And while nobody knows them, all that is filed is in conflict, once for each account."""
    events = [event("REGISTERED", "one", "02"), event("CHANGED", "one", "03"), event("CLOSED", "two", "04")]
    nobody = outcome_of(tmp_path, events_portal=events)
    assert (nobody.accounts, conflicts(nobody)) == ([], [(OTHER_NAME, "03"), (OTHER_NAME, "04")])
    late = row("13104-1", "初期登録", "2026-03-15")
    known = ledger(tmp_path, *events, listed=(late, row("13104-2", "氏名変更", "2026-03-16", kana=NEW_NAME)))
    assert (in_ledger(known), conflicts(known)) == ([("one", "active", "03")], [(NOT_IN_FORCE, "04")])
    assert told(known)["local-tax", HERE] == ("active", "15")


def test_a_second_account_is_a_conflict_until_its_next_event(tmp_path: Path) -> None:
    """It does not come into force by itself; a registration or change after the first has closed does it."""
    first, second = event("REGISTERED", "one", "05"), event("REGISTERED", "two", "06")
    closed, changed = event("CLOSED", "one", "07"), event("CHANGED", "two", "08")
    assert conflicts(ledger(tmp_path, first, second)) == [(SECOND, "06")]
    outcome = ledger(tmp_path, first, second, closed)
    assert (in_ledger(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [(SECOND, "06")])
    outcome = ledger(tmp_path, first, second, closed, changed)
    assert (in_ledger(outcome), conflicts(outcome)) == ([("two", "active", "08")], [])
    outcome = ledger(tmp_path, first, second, changed)
    assert (in_ledger(outcome), conflicts(outcome)) == ([("one", "active", "05")], [(SECOND, "08")])


def test_a_closing_settles_what_is_in_conflict_as_an_account_that_there_is(tmp_path: Path) -> None:
    """A second one, another person's, and a change into another name of the one in force."""
    first = event("REGISTERED", "one", "05")
    second, of_another = event("REGISTERED", "two", "06"), event("REGISTERED", "three", "06", NEW_NAME)
    into_another = event("CHANGED", "one", "06", NEW_NAME)
    outcome = ledger(tmp_path, first, second, of_another, into_another)
    assert conflicts(outcome) == [(OTHER_NAME, "06"), (OTHER_NAME, "06"), (SECOND, "06")]
    assert in_ledger(outcome) == [("one", "active", "05")]
    closings = [event("CLOSED", account, "07", "") for account in ("one", "two", "three")]
    outcome = ledger(tmp_path, first, second, of_another, into_another, *map(bare, closings))
    assert (in_ledger(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [])


def bare(closing: str) -> str:
    """A closing that says no more than it must."""
    filed = json.loads(closing)["account"]
    return json.dumps(
        {"account": {name: filed[name] for name in ("event", "account", "code", "effective_on")}}
    )


def test_a_change_or_closing_of_what_is_not_in_force_waits_for_its_registration(tmp_path: Path) -> None:
    """However often, and whatever the name; nothing but a registration settles it."""
    late = [
        event("CHANGED", "one", "06", NEW_NAME),
        event("CLOSED", "one", "07"),
        event("CLOSED", "one", "08"),
    ]
    assert conflicts(ledger(tmp_path, late[0])) == [(NOT_IN_FORCE, "06")]
    assert conflicts(ledger(tmp_path, *late[:2])) == [(NOT_IN_FORCE, "07")]
    assert conflicts(ledger(tmp_path, *late)) == [(NOT_IN_FORCE, "08")]
    outcome = ledger(tmp_path, *late[1:2], event("REGISTERED", "one", "05"))
    assert (in_ledger(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [])
    outcome = ledger(tmp_path, *late[1:], event("REGISTERED", "one", "09"))
    assert (in_ledger(outcome), conflicts(outcome)) == ([("one", "active", "09")], [])


def test_the_order_within_a_day(tmp_path: Path) -> None:
    """The account in force at dawn first, which may close for another; then by what happened, by id, by text."""
    first = event("REGISTERED", "m", "05")
    of_day = [
        event("REGISTERED", "b", "06"),
        event("CHANGED", "b", "06", number="1111111"),
        event("CHANGED", "b", "06", number="0000000", bank="0002"),
        event("REGISTERED", "a", "06"),
        event("CLOSED", "m", "06"),
    ]
    for order in (of_day, of_day[::-1]):
        outcome = ledger(tmp_path, *order, first)
        assert (in_ledger(outcome), conflicts(outcome)) == ([("a", "active", "06")], [(SECOND, "06")])
        outcome = ledger(tmp_path, *[it for it in order if '"a"' not in it], first)
        assert in_ledger(outcome) == [("b", "active", "06")]
        assert {(it["bank"], it["number"]) for it in outcome.accounts} == {("0002", "0000000")}


def test_neither_order_nor_repetition_of_what_is_filed_matters(tmp_path: Path) -> None:
    """The same event again is a duplicate; events count by their day."""
    events = [event("REGISTERED", "one", "05"), event("CHANGED", "one", "06"), event("CLOSED", "one", "07")]
    for order in permutations(events):
        outcome = ledger(tmp_path, *order, *events)
        assert (in_ledger(outcome), conflicts(outcome)) == ([("one", "closed", "07")], [])
        assert [it.line for it in outcome.duplicates] == [4, 5, 6]


def test_an_account_is_told_where_a_row_is_open(tmp_path: Path) -> None:
    """It goes with the person: deleted at the origin, told where a row opens, since when it does; pension keeps it."""
    outcome = outcome_of(
        tmp_path,
        juki_131041=[KNOWN, OUT],
        juki_141097=[IN],
        enrolments=[f"child,{HERE},{CODE},2026-03-02", f"pension,,{CODE},2026-03-11"],
        events_portal=[event("REGISTERED", "one", "05")],
    )
    assert told(outcome) == {
        ("portal", None): ("active", "05"),
        ("pension", None): ("active", "11"),
        ("local-tax", THERE): ("active", "21"),
        ("child", THERE): ("active", "21"),
    }


def test_a_closed_account_is_told_to_who_held_the_person_at_its_closing(tmp_path: Path) -> None:
    """And holds them still; not to rows that open later, be it again."""
    files = {
        "juki_131041": [KNOWN, OUT],
        "juki_141097": [IN],
        "enrolments": [f"pension,,{CODE},2026-03-11", f"child,{THERE},{CODE},2026-03-25"],
    }
    events = [event("REGISTERED", "one", "05"), event("CLOSED", "one", "22")]
    outcome = outcome_of(tmp_path, **files, events_portal=events)
    portal, pension, tax = ("portal", None), ("pension", None), ("local-tax", THERE)
    assert told(outcome) == dict.fromkeys([portal, pension, tax], ("closed", "22"))
    back = [
        row("14109-2", "転出", "2026-03-26", at=THERE, moved_to=HERE),
        row("13104-9", "転入", "2026-03-26", moved_from=THERE),
    ]
    files |= {"juki_131041": [KNOWN, OUT, back[1]], "juki_141097": [IN, back[0]]}
    outcome = outcome_of(tmp_path, **files, events_portal=events)
    assert told(outcome) == dict.fromkeys([portal, pension], ("closed", "22"))


def test_an_enrolment_may_be_filed_by_the_portal_itself(tmp_path: Path) -> None:
    """As a row of enrolments.csv; of its own domain only."""
    enrolment = {"domain": "portal", "municipality": None, "code": CODE, "since": "2026-03-02"}
    filed = [json.dumps({"enrolment": it}) for it in (enrolment, enrolment | {"domain": "pension"})]
    outcome = ledger(tmp_path, *filed, listed=(KNOWN, RENAMED))
    assert outcome.portal == [[["氏名変更", "2026-03-10"]]]
    assert outcome.refusals == [ExpectedRejection("events_portal.jsonl", 2, None, "other-domain")]


#: Lines of another form, and why.
FAULTY = (
    ("no JSON", "json"),
    ("[]", "fields"),
    ("{}", "fields"),
    ('{"account": {}, "enrolment": {}}', "fields"),
    ('{"account": []}', "fields"),
    ('{"account": {"more": ""}}', "fields"),
    ('{"account": {"event": 1}}', "types"),
    (event("OPENED", "one", "05"), "form:event"),
    (event("CLOSED", "", "05"), "form:account"),
    (event("REGISTERED", "one", "05", code="4299000001"), "form:code"),
    (event("REGISTERED", "one", "5"), "form:effective_on"),
    (event("REGISTERED", "one", "05", "試験　一郎"), "form:holder_kana"),
    (event("CHANGED", "one", "05", bank="1"), "form:bank"),
    (event("CHANGED", "one", "05", branch="1"), "form:branch"),
    (event("CHANGED", "one", "05", type=" "), "form:type"),
    (event("CLOSED", "one", "05", number="1"), "form:number"),
    (bare(event("REGISTERED", "one", "05")), "form:holder_kana"),
)


@pytest.mark.parametrize(("line", "reason"), FAULTY)
def test_what_is_of_another_form_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    """With file, line and a short reason; the next line counts."""
    outcome = ledger(tmp_path, line, event("REGISTERED", "two", "06"))
    assert outcome.refusals == [ExpectedRejection("events_portal.jsonl", 1, None, reason)]
    assert in_ledger(outcome) == [("two", "active", "06")]
