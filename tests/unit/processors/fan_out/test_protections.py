"""The record of a person's protection measures that fan-out publishes with its changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from processors.fan_out.person_state import PersonState, Protection
from tests.unit.processors.intake_output import enrolment, notice
from tests.unit.processors.two_steps import Row, TwoSteps

CITY = "131041"
FACTS = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
FACTS |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}


def first(day: str = "2026-03-01") -> Row:
    """Return the first registration of a person."""
    return notice(CITY, "13104-1", "初期登録", day, {"p": FACTS})


def of_person(number: str, reason: str, day: str, **facts: Any) -> Row:
    """Return another notice about the person."""
    return notice(CITY, f"13104-{number}", reason, day, {"p": facts})


def published(*rows: Row, serialized: bool = False) -> list[Row]:
    """Return the records of `protection` that follow from notices, submitted one by one."""
    steps = TwoSteps(serialized=serialized)
    steps.change([enrolment("nta", None, "p", "2026-03-01")])
    for row in rows:
        steps.submit([row])
    return steps.outputs.get("protection", [])


def test_nobody_else_has_a_record() -> None:
    """A person without any measure costs nothing."""
    assert published(first(), of_person("2", "転居", "2026-03-02", address="二丁目")) == []


def test_a_record_has_measures_addresses_and_revisions() -> None:
    """It follows each change of them, but no other change. A move that no domain sees has no revision.

    Every other change has two: one of the row, and one of its history, or of each row of that whose address goes.
    """
    begun, ended = of_person("2", "支援措置開始", "2026-03-02"), of_person("4", "支援措置終了", "2026-03-08")
    ended["received_at"] = datetime(2026, 10, 1, tzinfo=UTC)
    records = published(
        first(),
        begun,
        of_person("3", "転居", "2026-03-05", address="二丁目"),
        ended,
        of_person("5", "氏名変更", "2026-03-09", name="山田　春子"),
        of_person("6", "転居", "2026-03-10", address="三丁目"),
        serialized=True,
    )
    measure = {"since": date(2026, 3, 2), "until": None, "begun_at": begun["received_at"], "ended_at": None}
    over = measure | {"until": date(2026, 3, 8), "ended_at": ended["received_at"]}
    expected = [([measure], []), ([over], ["二丁目"]), ([over], ["三丁目"])]
    assert [(record["measures"], record["addresses"]) for record in records] == expected
    revisions = [{each["domain"]: each["revision"] for each in record["revisions"]} for record in records]
    assert revisions == [
        {"local-tax": 3, "nta": 3},
        {"local-tax": 5, "nta": 5},
        {"local-tax": 9, "nta": 9},
    ]


def test_a_second_measure_follows_the_first() -> None:
    """Both are in the record."""
    days = ("2026-03-02", "2026-03-04", "2026-03-06")
    reasons = ("支援措置開始", "支援措置終了", "支援措置開始")
    notices = [
        of_person(str(n), reason, day) for n, (reason, day) in enumerate(zip(reasons, days, strict=True), 2)
    ]
    (*_, last) = published(first(), *notices)
    assert [(m["since"].day, m["until"] and m["until"].day) for m in last["measures"]] == [(2, 4), (6, None)]
    assert last["addresses"] == []


def test_the_record_does_not_depend_on_the_order_of_arrival() -> None:
    """A measure that becomes known late is in the record as if it had come in time, but for its time of receipt."""
    begun, ended = of_person("2", "支援措置開始", "2026-03-02"), of_person("3", "支援措置終了", "2026-03-04")
    moved = of_person("4", "転居", "2026-03-05", address="二丁目")
    (*_, in_order), (*_, late) = (
        published(first(), begun, ended, moved),
        published(first(), moved, ended, begun),
    )
    for record in (in_order, late):
        del record["revisions"]
    assert in_order == late


def test_a_child_protected_from_birth_has_a_record() -> None:
    """The column of the notice of birth begins the measure."""
    born = notice(CITY, "13104-1", "出生", "2026-03-01", {"p": FACTS | {"protected": True}})
    (record,) = published(born)
    assert (len(record["measures"]), record["addresses"]) == (1, [])


@pytest.mark.parametrize(
    ("measures", "changed_on"),
    [
        ([], date.min),
        ([(8, None)], date(2026, 3, 8)),
        ([(1, 5), (8, 9)], date(2026, 3, 9)),
        ([(1, 5), (8, 8)], date(2026, 3, 5)),
        ([(8, 8)], date.min),
    ],
)
def test_a_measure_that_ended_on_its_first_day_was_in_force_on_none(
    measures: list[tuple[int, int | None]], changed_on: date
) -> None:
    """What a domain sees of the person's rows has not changed by it."""
    protections = tuple(
        Protection(date(2026, 3, since), None if until is None else date(2026, 3, until), 1, until)
        for since, until in measures
    )
    assert PersonState(protections=protections).protection_changed_on == changed_on
