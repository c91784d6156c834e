"""What a municipality's list takes and refuses, rule by rule of the samples' README."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.reasons import CANCELLABLE, JAPANESE
from tests.unit.processors.intake_output import notice
from tests.unit.processors.mesh import Mesh, Row

CITY = "131041"


def person(**others: Any) -> dict[str, Any]:
    """All facts of somebody new."""
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
    return (
        facts | {"relationship": "世帯主", "household": "1", "address": "一丁目", "protected": False} | others
    )


def first(number: str, *persons: str, household: str = "1") -> Row:
    """A first registration of a household."""
    return notice(CITY, number, "初期登録", "2026-02-01", {p: person(household=household) for p in persons})


def move(number: str, day: str, *persons: str, household: str | None = None, **others: Any) -> Row:
    """A move within the municipality, of persons or of a household."""
    if household is not None:
        return notice(CITY, number, "転居", day, household=household, to={"address": "二丁目"}, **others)
    return notice(CITY, number, "転居", day, {p: {"address": "二丁目"} for p in persons}, **others)


def cancel(number: str, day: str, cancels: str, *persons: str) -> Row:
    """A cancellation."""
    return notice(CITY, number, "取消", day, {p: {} for p in persons}, cancels=cancels)


def concerned(mesh: Mesh, *rows: Row) -> list[str]:
    """Persons to whom a batch of notices goes."""
    return [change["person"] for change in mesh.list_notices(rows)]


def test_places_are_counted_by_municipality() -> None:
    """Each list is counted from 1; a refused notice takes no place."""
    mesh, other = Mesh(), notice("011002", "b1", "初期登録", "2026-02-01", {"p": person()})
    changes = mesh.list_notices([first("1", "p"), move("2", "2026-03-01", "nobody"), other, first("3", "q")])
    assert [(c["municipality"], c["seq"]) for c in changes] == [(CITY, 1), ("011002", 1), (CITY, 2)]


def test_an_identical_hand_over_is_a_duplicate() -> None:
    """Of one accepted and of one refused; reported each time, nothing changes."""
    mesh, unknown = Mesh(), move("2", "2026-03-01", "nobody")
    assert concerned(mesh, first("1", "p"), unknown) == ["p"]
    assert concerned(mesh, first("1", "p"), unknown) == []
    assert mesh.codes() == [("2", "RESIDENT_UNKNOWN"), ("1", "DUPLICATE"), ("2", "DUPLICATE")]
    assert [row["kind"] for row in mesh.told["rejected.juki"]] == ["REJECTED", "DUPLICATE", "DUPLICATE"]


def test_a_refused_number_is_free() -> None:
    """It can be corrected and sent again under its number; then the refused one is no news any more."""
    mesh = Mesh()
    wrong, right = move("2", "2026-03-01", "nobody"), move("2", "2026-03-01", "p")
    assert concerned(mesh, first("1", "p"), wrong, right) == ["p", "p"]
    assert concerned(mesh, wrong) == []
    assert mesh.codes() == [("2", "RESIDENT_UNKNOWN"), ("2", "DUPLICATE")]


def test_resent_by_an_officer_it_is_judged_anew() -> None:
    """It stands where it then arrives; accepted once, it is a duplicate however it comes."""
    mesh, late = Mesh(), move("2", "2026-03-01", "p")
    assert concerned(mesh, late, first("1", "p")) == ["p"]
    assert concerned(mesh, late) == []
    assert [c["seq"] for c in mesh.list_notices([late | {"resubmitted": True}])] == [2]
    assert concerned(mesh, late | {"resubmitted": True}, late) == []
    assert [code for _, code in mesh.codes()] == ["RESIDENT_UNKNOWN", "DUPLICATE", "DUPLICATE", "DUPLICATE"]


def test_a_number_stands_for_one_content() -> None:
    """Another content under an accepted number is refused, resent or not."""
    mesh, other = Mesh(), move("2", "2026-03-02", "p")
    assert concerned(mesh, first("1", "p"), move("2", "2026-03-01", "p")) == ["p", "p"]
    assert concerned(mesh, other, other | {"resubmitted": True}) == []
    assert mesh.codes() == [("2", "NUMBER_TAKEN"), ("2", "NUMBER_TAKEN")]


def test_all_persons_or_none() -> None:
    """One unknown person refuses the whole notice, and leaves no trace of it."""
    mesh = Mesh()
    assert concerned(mesh, first("1", "p"), move("2", "2026-03-01", "p", "nobody")) == ["p"]
    assert concerned(mesh, move("3", "2026-03-01", "p"), cancel("4", "2026-03-01", "3", "p")) == ["p", "p"]


@pytest.mark.parametrize("reason", ["転出", "死亡", "国外転出"])
def test_who_left_is_unknown(reason: str) -> None:
    """After a move out or a death, notices of that person are refused, and a household is without them."""
    mesh, gone = Mesh(), notice(CITY, "2", reason, "2026-03-01", {"p": {}}, moved_to="011002")
    mesh.list_notices([first("1", "p", "q"), gone])
    assert concerned(mesh, move("3", "2026-03-02", "p"), move("4", "2026-03-02", household="1")) == ["q"]
    assert mesh.codes() == [("3", "RESIDENT_UNKNOWN")]


@pytest.mark.parametrize("reason", ["氏名変更", "職権修正"])
def test_listed_late_they_look_at_their_day_of_effect(reason: str) -> None:
    """Before the move out, also when listed after it; on its day, and later, the person is gone."""
    mesh, gone = Mesh(), notice(CITY, "2", "転出", "2026-03-05", {"p": {}}, moved_to="011002")
    mesh.list_notices([first("1", "p"), gone])
    days = {"3": "2026-03-04", "4": "2026-03-05", "5": "2026-01-31"}
    late = [notice(CITY, number, reason, day, {"p": {"name": "別名"}}) for number, day in days.items()]
    assert concerned(mesh, *late) == ["p"]
    assert mesh.codes() == [("4", "RESIDENT_UNKNOWN"), ("5", "RESIDENT_UNKNOWN")]


def test_a_birth_is_new() -> None:
    """Its code must never have been in this list, not even of somebody gone."""
    mesh, gone = Mesh(), notice(CITY, "2", "死亡", "2026-03-01", {"p": {}})
    born = [
        notice(CITY, number, "出生", "2026-03-02", {p: person()}) for number, p in (("3", "p"), ("4", "b"))
    ]
    assert concerned(mesh, first("1", "p"), gone, *born) == ["p", "p", "b"]
    assert mesh.codes() == [("3", "BIRTH_KNOWN")]


def test_who_is_resident_may_be_registered_again() -> None:
    """Only a birth must be new: a move in of a resident is taken, and moves them to its household."""
    mesh, again = Mesh(), notice(CITY, "2", "転入", "2026-03-01", {"p": person(household="2")})
    assert concerned(mesh, first("1", "p", "q"), again, move("3", "2026-03-02", household="2")) == [
        "p",
        "q",
        "p",
        "p",
    ]


def test_a_household_is_who_lives_there_when_it_is_listed() -> None:
    """Born into it, come into it, not gone from it, in the order in which they came."""
    mesh = Mesh()
    born = notice(CITY, "3", "出生", "2026-03-01", {"b": person()})
    split = notice(CITY, "4", "世帯分離", "2026-03-02", {"q": {"household": "9"}})
    joined = notice(CITY, "5", "世帯合併", "2026-03-03", household="2", to={"household": "1"})
    mesh.list_notices([first("1", "p", "q"), first("2", "r", household="2"), born, split, joined])
    assert concerned(mesh, move("6", "2026-03-04", household="1")) == ["p", "b", "r"]
    assert concerned(mesh, move("7", "2026-03-04", household="2")) == []
    assert mesh.codes() == [("7", "HOUSEHOLD_UNKNOWN")]


def test_what_changes_for_a_household_is_told_of_each() -> None:
    """Each resident's change carries what the notice gives for the household."""
    mesh = Mesh()
    changes = mesh.list_notices([first("1", "p", "q"), move("2", "2026-03-01", household="1")])[2:]
    assert [(c["person"], c["facts"]["address"], c["facts"]["name"]) for c in changes] == [
        ("p", "二丁目", None),
        ("q", "二丁目", None),
    ]


def test_a_cancelled_split_never_was() -> None:
    """After the cancellation the household has its member again."""
    mesh = Mesh()
    split = notice(CITY, "2", "世帯分離", "2026-03-02", {"q": {"household": "9"}})
    mesh.list_notices([first("1", "p", "q"), split, cancel("3", "2026-03-02", "2", "q")])
    assert concerned(mesh, move("4", "2026-03-04", household="1")) == ["p", "q"]
    assert concerned(mesh, move("5", "2026-03-04", household="9")) == []


def test_a_cancellation_concerns_the_persons_of_what_it_cancels() -> None:
    """All of them, whomever it names; its case counts them."""
    mesh = Mesh()
    mesh.list_notices([first("1", "p", "q"), move("2", "2026-03-02", household="1")])
    assert concerned(mesh, cancel("3", "2026-03-02", "2", "q")) == ["p", "q"]
    assert [(case["case"]["notice"], case["persons"]) for case in mesh.told["case.opened"]] == [
        ("1", 2),
        ("2", 2),
        ("3", 2),
    ]


@pytest.mark.parametrize("reason", sorted(set(JAPANESE) - CANCELLABLE))
def test_what_cannot_be_cancelled(reason: str) -> None:
    """Moves in and out, births, deaths, protections, new heads and cancellations are for a clerk."""
    mesh, term = Mesh(), JAPANESE[reason]  # type: ignore[index]
    rows = [first("1", "p", "q"), move("2", "2026-03-01", "q")]
    facts = person(household="2") if term in {"初期登録", "転入", "国外転入", "出生"} else {}
    who = "b" if term == "出生" else "p"
    rows.append(notice(CITY, "3", term, "2026-03-02", {who: facts}, cancels="2" if term == "取消" else None))
    mesh.list_notices([*rows, cancel("4", "2026-03-02", "3", "q")])
    assert mesh.codes() == [("4", "CANCELS_NOT_CANCELLABLE")]


def test_a_cancellation_of_nothing() -> None:
    """What is unknown there, or cancelled already, is refused."""
    mesh = Mesh()
    rows = [first("1", "p"), move("2", "2026-03-01", "p"), cancel("3", "2026-03-01", "2", "p")]
    mesh.list_notices([*rows, cancel("4", "2026-03-01", "2", "p"), cancel("5", "2026-03-01", "99", "p")])
    assert mesh.codes() == [("4", "CANCELS_CANCELLED"), ("5", "CANCELS_UNKNOWN")]


def test_a_cancellation_is_overtaken_by_a_later_notice_of_one_person() -> None:
    """Later in the order of effect, listed before it, and standing; of one person it refuses it for all."""
    mesh = Mesh()
    rows = [first("1", "p", "q"), move("2", "2026-03-01", "p", "q"), move("3", "2026-03-05", "q")]
    mesh.list_notices([*rows, cancel("4", "2026-03-01", "2", "p", "q")])
    assert mesh.codes() == [("4", "CANCELS_OVERTAKEN")]
    mesh.list_notices([cancel("5", "2026-03-05", "3", "q"), cancel("6", "2026-03-01", "2", "p", "q")])
    assert mesh.codes() == [("4", "CANCELS_OVERTAKEN")]


def test_a_late_notice_of_an_earlier_day_overtakes_nothing() -> None:
    """What counts is the order of effect: the change of name listed after the move takes effect before it."""
    mesh = Mesh()
    rows = [
        first("1", "p"),
        move("2", "2026-03-05", "p"),
        notice(CITY, "3", "氏名変更", "2026-03-01", {"p": {}}),
    ]
    mesh.list_notices([*rows, cancel("4", "2026-03-05", "2", "p")])
    assert mesh.codes() == []
    mesh.list_notices([move("5", "2026-03-06", "p"), cancel("6", "2026-03-01", "3", "p")])
    assert mesh.codes() == [("6", "CANCELS_OVERTAKEN")]


def test_same_day_as_listed() -> None:
    """Of two on one day the one listed later is the later."""
    mesh = Mesh()
    rows = [first("1", "p"), move("2", "2026-03-05", "p"), move("3", "2026-03-05", "p")]
    mesh.list_notices([*rows, cancel("4", "2026-03-05", "2", "p"), cancel("5", "2026-03-05", "3", "p")])
    assert mesh.codes() == [("4", "CANCELS_OVERTAKEN")]


def test_batches_do_not_matter() -> None:
    """One by one, or all at once: the same records."""
    rows = [first("1", "p", "q"), move("2", "2026-03-01", household="1"), move("2", "2026-03-02", "p")]
    rows += [cancel("3", "2026-03-01", "2", "p"), move("4", "2026-03-03", "nobody"), first("1", "p", "q")]
    whole, single = Mesh(), Mesh()
    whole.list_notices(rows)
    for row in rows:
        single.list_notices([row])
    assert whole.told == single.told
    for name, store in whole.household_state.items():
        assert store.values == single.household_state[name].values


def test_a_rejection_points_to_its_hand_over() -> None:
    """Origin, system, municipality, number and a sentence are there; nothing of the person is."""
    mesh = Mesh()
    mesh.list_notices([move("2", "2026-03-01", "secret-code")])
    (row,) = mesh.told["rejected.juki"]
    assert row["origin"]["topic"] == f"in.juki.{CITY}"
    assert (row["system"], row["municipality"], row["notice"]) == ("juki", CITY, "2")
    assert row["reason"]
    assert "secret-code" not in str(row)
