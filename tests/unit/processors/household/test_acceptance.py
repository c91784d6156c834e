"""Which notices a municipality's register accepts and rejects, rule by rule of docs/rules.md."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.reasons import CANCELLABLE, JAPANESE
from tests.unit.processors.intake_output import notice
from tests.unit.processors.two_steps import Row, TwoSteps

CITY = "131041"


def person(**others: Any) -> dict[str, Any]:
    """Return all facts of a new resident."""
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
    return (
        facts | {"relationship": "世帯主", "household": "1", "address": "一丁目", "protected": False} | others
    )


def first(number: str, *persons: str, household: str = "1") -> Row:
    """Return a first registration of a household."""
    return notice(CITY, number, "初期登録", "2026-02-01", {p: person(household=household) for p in persons})


def move(number: str, day: str, *persons: str, household: str | None = None, **others: Any) -> Row:
    """Return a move within the municipality, of persons or of a household."""
    if household is not None:
        return notice(CITY, number, "転居", day, household=household, to={"address": "二丁目"}, **others)
    return notice(CITY, number, "転居", day, {p: {"address": "二丁目"} for p in persons}, **others)


def cancel(number: str, day: str, cancels: str, *persons: str) -> Row:
    """Return a cancellation."""
    return notice(CITY, number, "取消", day, {p: {} for p in persons}, cancels=cancels)


def affected_persons(steps: TwoSteps, *rows: Row) -> list[str]:
    """Return the persons changed by a batch of notices."""
    return [change["person"] for change in steps.accept_notices(rows)]


def test_sequence_numbers_are_counted_by_municipality() -> None:
    """Each register counts from 1; a rejected notice has no sequence number."""
    steps, other = TwoSteps(), notice("011002", "b1", "初期登録", "2026-02-01", {"p": person()})
    changes = steps.accept_notices(
        [first("1", "p"), move("2", "2026-03-01", "nobody"), other, first("3", "q")]
    )
    assert [(c["municipality"], c["seq"]) for c in changes] == [(CITY, 1), ("011002", 1), (CITY, 2)]


def test_an_identical_submission_is_a_duplicate() -> None:
    """Of an accepted or a rejected notice; it is reported each time and changes nothing."""
    steps, unknown = TwoSteps(), move("2", "2026-03-01", "nobody")
    assert affected_persons(steps, first("1", "p"), unknown) == ["p"]
    assert affected_persons(steps, first("1", "p"), unknown) == []
    assert steps.rejection_codes() == [("2", "RESIDENT_UNKNOWN"), ("1", "DUPLICATE"), ("2", "DUPLICATE")]
    assert [row["kind"] for row in steps.outputs["rejected.juki"]] == ["REJECTED", "DUPLICATE", "DUPLICATE"]


def test_the_number_of_a_rejected_notice_stays_free() -> None:
    """A corrected notice can have it; the rejected one is then still a duplicate."""
    steps = TwoSteps()
    wrong, right = move("2", "2026-03-01", "nobody"), move("2", "2026-03-01", "p")
    assert affected_persons(steps, first("1", "p"), wrong, right) == ["p", "p"]
    assert affected_persons(steps, wrong) == []
    assert steps.rejection_codes() == [("2", "RESIDENT_UNKNOWN"), ("2", "DUPLICATE")]


def test_a_resubmitted_notice_is_validated_again() -> None:
    """Its sequence number is that of its new arrival; once accepted, any further submission is a duplicate."""
    steps, late = TwoSteps(), move("2", "2026-03-01", "p")
    assert affected_persons(steps, late, first("1", "p")) == ["p"]
    assert affected_persons(steps, late) == []
    assert [c["seq"] for c in steps.accept_notices([late | {"resubmitted": True}])] == [2]
    assert affected_persons(steps, late | {"resubmitted": True}, late) == []
    assert [code for _, code in steps.rejection_codes()] == [
        "RESIDENT_UNKNOWN",
        "DUPLICATE",
        "DUPLICATE",
        "DUPLICATE",
    ]


def test_a_number_has_one_content() -> None:
    """Other content under an accepted number is rejected, resubmitted or not."""
    steps, other = TwoSteps(), move("2", "2026-03-02", "p")
    assert affected_persons(steps, first("1", "p"), move("2", "2026-03-01", "p")) == ["p", "p"]
    assert affected_persons(steps, other, other | {"resubmitted": True}) == []
    assert steps.rejection_codes() == [("2", "NUMBER_TAKEN"), ("2", "NUMBER_TAKEN")]


def test_a_notice_is_accepted_for_all_persons_or_none() -> None:
    """One unknown person makes the whole notice rejected, without any trace in the register."""
    steps = TwoSteps()
    assert affected_persons(steps, first("1", "p"), move("2", "2026-03-01", "p", "nobody")) == ["p"]
    assert affected_persons(steps, move("3", "2026-03-01", "p"), cancel("4", "2026-03-01", "3", "p")) == [
        "p",
        "p",
    ]


@pytest.mark.parametrize("reason", ["転出", "死亡", "国外転出"])
def test_a_person_who_left_is_unknown(reason: str) -> None:
    """After a move out or a death their notices are rejected, and their household continues without them."""
    steps, left = TwoSteps(), notice(CITY, "2", reason, "2026-03-01", {"p": {}}, moved_to="011002")
    steps.accept_notices([first("1", "p", "q"), left])
    assert affected_persons(steps, move("3", "2026-03-02", "p"), move("4", "2026-03-02", household="1")) == [
        "q"
    ]
    assert steps.rejection_codes() == [("3", "RESIDENT_UNKNOWN")]


@pytest.mark.parametrize("reason", ["氏名変更", "職権修正"])
def test_corrections_require_a_resident_on_their_effective_day(reason: str) -> None:
    """Accepted before the day of the move out, even if they arrive after it; rejected on that day and later."""
    steps, left = TwoSteps(), notice(CITY, "2", "転出", "2026-03-05", {"p": {}}, moved_to="011002")
    steps.accept_notices([first("1", "p"), left])
    days = {"3": "2026-03-04", "4": "2026-03-05", "5": "2026-01-31"}
    late = [notice(CITY, number, reason, day, {"p": {"name": "別名"}}) for number, day in days.items()]
    assert affected_persons(steps, *late) == ["p"]
    assert steps.rejection_codes() == [("4", "RESIDENT_UNKNOWN"), ("5", "RESIDENT_UNKNOWN")]


def test_a_birth_requires_a_new_code() -> None:
    """The code must never have been in this register, even of a person who left."""
    steps, left = TwoSteps(), notice(CITY, "2", "死亡", "2026-03-01", {"p": {}})
    born = [
        notice(CITY, number, "出生", "2026-03-02", {p: person()}) for number, p in (("3", "p"), ("4", "b"))
    ]
    assert affected_persons(steps, first("1", "p"), left, *born) == ["p", "p", "b"]
    assert steps.rejection_codes() == [("3", "BIRTH_KNOWN")]


def test_a_resident_may_be_registered_again() -> None:
    """A move in of a resident is accepted, and moves them to its household."""
    steps, again = TwoSteps(), notice(CITY, "2", "転入", "2026-03-01", {"p": person(household="2")})
    assert affected_persons(steps, first("1", "p", "q"), again, move("3", "2026-03-02", household="2")) == [
        "p",
        "q",
        "p",
        "p",
    ]


def test_a_household_notice_applies_to_its_residents_at_acceptance() -> None:
    """Born into it or joined and not left, in the order in which they came."""
    steps = TwoSteps()
    born = notice(CITY, "3", "出生", "2026-03-01", {"b": person()})
    split = notice(CITY, "4", "世帯分離", "2026-03-02", {"q": {"household": "9"}})
    joined = notice(CITY, "5", "世帯合併", "2026-03-03", household="2", to={"household": "1"})
    steps.accept_notices([first("1", "p", "q"), first("2", "r", household="2"), born, split, joined])
    assert affected_persons(steps, move("6", "2026-03-04", household="1")) == ["p", "b", "r"]
    assert affected_persons(steps, move("7", "2026-03-04", household="2")) == []
    assert steps.rejection_codes() == [("7", "HOUSEHOLD_UNKNOWN")]


def test_a_household_notice_changes_each_resident() -> None:
    """Each resident's change has the facts of the notice."""
    steps = TwoSteps()
    changes = steps.accept_notices([first("1", "p", "q"), move("2", "2026-03-01", household="1")])[2:]
    assert [(c["person"], c["facts"]["address"], c["facts"]["name"]) for c in changes] == [
        ("p", "二丁目", None),
        ("q", "二丁目", None),
    ]


def test_a_cancelled_split_has_no_effect() -> None:
    """After the cancellation the household has its member again."""
    steps = TwoSteps()
    split = notice(CITY, "2", "世帯分離", "2026-03-02", {"q": {"household": "9"}})
    steps.accept_notices([first("1", "p", "q"), split, cancel("3", "2026-03-02", "2", "q")])
    assert affected_persons(steps, move("4", "2026-03-04", household="1")) == ["p", "q"]
    assert affected_persons(steps, move("5", "2026-03-04", household="9")) == []


def test_a_cancellation_affects_the_persons_of_the_cancelled_notice() -> None:
    """All of them, whichever it names; its case counts them."""
    steps = TwoSteps()
    steps.accept_notices([first("1", "p", "q"), move("2", "2026-03-02", household="1")])
    assert affected_persons(steps, cancel("3", "2026-03-02", "2", "q")) == ["p", "q"]
    assert [(case["case"]["notice"], case["persons"]) for case in steps.outputs["case.opened"]] == [
        ("1", 2),
        ("2", 2),
        ("3", 2),
    ]


@pytest.mark.parametrize("reason", sorted(set(JAPANESE) - CANCELLABLE))
def test_reasons_that_cannot_be_cancelled(reason: str) -> None:
    """Moves in, births, protections, new heads and cancellations need a clerk."""
    steps, term = TwoSteps(), JAPANESE[reason]  # type: ignore[index]
    rows = [first("1", "p", "q"), move("2", "2026-03-01", "q")]
    facts = person(household="2") if term in {"初期登録", "転入", "国外転入", "出生"} else {}
    code = {"出生": "b", "取消": "q"}.get(term, "p")
    rows.append(notice(CITY, "3", term, "2026-03-02", {code: facts}, cancels="2" if term == "取消" else None))
    steps.accept_notices([*rows, cancel("4", "2026-03-02", "3", "q")])
    assert steps.rejection_codes() == [("4", "CANCELS_NOT_CANCELLABLE")]


@pytest.mark.parametrize("reason", ["転出", "国外転出", "死亡"])
def test_persons_who_left_or_died_are_residents_again_after_the_cancellation(reason: str) -> None:
    """All persons of the cancelled notice are residents of their household again; others can't be named."""
    steps = TwoSteps()
    gone = notice(
        CITY, "2", reason, "2026-03-01", {"p": {}, "q": {}}, moved_to="141097" if reason == "転出" else None
    )
    steps.accept_notices([first("1", "p", "q", "r"), gone, cancel("3", "2026-03-01", "2", "r")])
    assert steps.rejection_codes() == [("3", "RESIDENT_UNKNOWN")]
    assert affected_persons(steps, cancel("4", "2026-03-01", "2", "q")) == ["p", "q"]
    assert sorted(affected_persons(steps, move("5", "2026-03-02", household="1"))) == ["p", "q", "r"]


def test_a_cancellation_of_an_unknown_or_cancelled_notice_is_rejected() -> None:
    """Each has its own code."""
    steps = TwoSteps()
    rows = [first("1", "p"), move("2", "2026-03-01", "p"), cancel("3", "2026-03-01", "2", "p")]
    steps.accept_notices([*rows, cancel("4", "2026-03-01", "2", "p"), cancel("5", "2026-03-01", "99", "p")])
    assert steps.rejection_codes() == [("4", "CANCELS_CANCELLED"), ("5", "CANCELS_UNKNOWN")]


def test_a_later_notice_of_any_person_prevents_a_cancellation() -> None:
    """Later in the order of effect, accepted before the cancellation, and not cancelled itself."""
    steps = TwoSteps()
    rows = [first("1", "p", "q"), move("2", "2026-03-01", "p", "q"), move("3", "2026-03-05", "q")]
    steps.accept_notices([*rows, cancel("4", "2026-03-01", "2", "p", "q")])
    assert steps.rejection_codes() == [("4", "CANCELS_OVERTAKEN")]
    steps.accept_notices([cancel("5", "2026-03-05", "3", "q"), cancel("6", "2026-03-01", "2", "p", "q")])
    assert steps.rejection_codes() == [("4", "CANCELS_OVERTAKEN")]


def test_a_late_notice_of_an_earlier_day_prevents_no_cancellation() -> None:
    """Only the order of effect counts: the change of name accepted after the move takes effect before it."""
    steps = TwoSteps()
    rows = [
        first("1", "p"),
        move("2", "2026-03-05", "p"),
        notice(CITY, "3", "氏名変更", "2026-03-01", {"p": {}}),
    ]
    steps.accept_notices([*rows, cancel("4", "2026-03-05", "2", "p")])
    assert steps.rejection_codes() == []
    steps.accept_notices([move("5", "2026-03-06", "p"), cancel("6", "2026-03-01", "3", "p")])
    assert steps.rejection_codes() == [("6", "CANCELS_OVERTAKEN")]


def test_notices_of_one_day_take_effect_in_order_of_acceptance() -> None:
    """So the earlier of two can't be cancelled."""
    steps = TwoSteps()
    rows = [first("1", "p"), move("2", "2026-03-05", "p"), move("3", "2026-03-05", "p")]
    steps.accept_notices([*rows, cancel("4", "2026-03-05", "2", "p"), cancel("5", "2026-03-05", "3", "p")])
    assert steps.rejection_codes() == [("4", "CANCELS_OVERTAKEN")]


def test_batches_do_not_matter() -> None:
    """One by one or all at once, the records are the same."""
    rows = [first("1", "p", "q"), move("2", "2026-03-01", household="1"), move("2", "2026-03-02", "p")]
    rows += [cancel("3", "2026-03-01", "2", "p"), move("4", "2026-03-03", "nobody"), first("1", "p", "q")]
    together, one_by_one = TwoSteps(), TwoSteps()
    together.accept_notices(rows)
    for row in rows:
        one_by_one.accept_notices([row])
    assert together.outputs == one_by_one.outputs
    for name, store in together.household_state.items():
        assert store.values == one_by_one.household_state[name].values


def test_a_rejection_names_its_submission() -> None:
    """It has origin, system, municipality, number and a reason, but nothing about the person."""
    steps = TwoSteps()
    steps.accept_notices([move("2", "2026-03-01", "secret-code")])
    (row,) = steps.outputs["rejected.juki"]
    assert row["origin"]["topic"] == f"in.juki.{CITY}"
    assert (row["system"], row["municipality"], row["notice"]) == ("juki", CITY, "2")
    assert row["reason"]
    assert "secret-code" not in str(row)
