"""Histories through fan-out: what the tables had been, in whatever order the records arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any

import pytest

from processors.entities.rows import HISTORIES
from tests.unit.processors.entities.test_history_rows import Shown, covers
from tests.unit.processors.intake_output import day_begun, event, notice, settlement
from tests.unit.processors.two_steps import DomainStores, TwoSteps

pytestmark = pytest.mark.unit
HERE, THERE = "131041", "011002"
FIRST = date(2026, 9, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(10)]
PERSON = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1961-09-05", "sex": "女"}
PERSON |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
TABLES = (("card", "card"), ("care", "insurance"), ("care", "certification"))


def random_topics(rng: Random) -> list[list[dict[str, Any]]]:
    """Return records of `person.change` by input topic, each with a day of receipt that grows within its topic."""

    def text() -> str:
        return (FIRST + timedelta(days=rng.randint(-8, 8))).isoformat()

    here = [notice(HERE, "13104-1", "初期登録", "2026-08-20", {"p": PERSON}, line=1)]
    corrected = {"birth_date": rng.choice(["1961-09-03", "1990-01-01"])}
    here += [notice(HERE, "13104-2", "職権修正", text(), {"p": corrected}, line=2)]
    here += [
        notice(HERE, "13104-3", rng.choice(["転出", "死亡"]), "2026-09-06", {"p": {}}, moved_to=THERE, line=3)
    ]
    here += [notice(HERE, "13104-4", "取消", "2026-09-08", cancels="13104-3", line=4)][: rng.randint(0, 1)]
    there = [notice(THERE, "01100-1", "転入", "2026-09-06", {"p": PERSON}, moved_from=HERE, line=1)]
    kinds = ("CardLost", "CardFound", "CardTextWritten", "CardSuspended", "CardReturned")
    card_fields = {"kind": "standard", "expires_on": "2026-09-07"}
    card = [event("card", "CardIssued", "p", text(), "1", serial="S1", **card_fields)]
    card += [event("card", rng.choice(kinds), "p", text(), str(n), serial="S1") for n in range(2, 5)]
    card += [event("card", "Cancelled", "p", text(), "9", cancels=str(rng.randint(1, 4)))]
    until = {"care_level": "care-1", "certified_until": text()}
    care = [event("care", "CareCertified", "p", text(), "1", municipality=HERE, **until)]
    care += [event("care", "InstitutionEntered", "p", "2026-09-05", "2", municipality=HERE)]
    care += [event("care", "Cancelled", "p", text(), "3", municipality=HERE, cancels=rng.choice("12"))]
    household = TwoSteps()
    registers = [
        [row for each in topic for row in household.accept_notices([each])] for topic in (here, there)
    ]
    return [
        [
            _received(row, number, on)
            for number, (row, on) in enumerate(zip(topic, _growing(rng, topic), strict=True))
        ]
        for topic in (*registers, card, care)
    ]


def _growing(rng: Random, topic: list[Any]) -> list[date]:
    return sorted(rng.choice(DAYS[:7]) for _ in topic)


def _received(row: dict[str, Any], number: int, on: date) -> dict[str, Any]:
    at = datetime(on.year, on.month, on.day, tzinfo=UTC) + timedelta(milliseconds=number)
    return {**row, "received_at": at}


def in_any_order(rng: Random, topics: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the records of all topics in an order of arrival that keeps that of each topic."""
    order = [number for number, topic in enumerate(topics) for _ in topic]
    rng.shuffle(order)
    queues = [iter(topic) for topic in topics]
    return [next(queues[number]) for number in order]


def readings_after(
    rows: Sequence[dict[str, Any]], today: date, size: int = 100
) -> dict[tuple[Any, ...], Any]:
    """Return the rows of all readings after these records, on a day."""
    steps = TwoSteps(serialized=True)
    for first in range(0, len(rows), size):
        steps.change(rows[first : first + size])
    steps.change([_received(day_begun(today.isoformat()), 0, FIRST)])
    return DomainStores(steps.outputs).readings


def table_as_of(
    readings: Mapping[tuple[Any, ...], Any], domain: str, table: str, effective: date, known: date
) -> Shown:
    """Return what a table's history says."""
    shown: Shown = {}
    for (of_domain, of_table, _, part, *key), row in readings.items():
        if (of_domain, of_table) != (domain, f"{table}_history"):
            continue
        columns = dict(row)
        days = [columns.pop(name) for name in ("valid_from", "valid_to", "known_from", "known_to")]
        if covers(days[0], days[1], effective) and covers(days[2], days[3], known):
            shown[part, *key[:-2]] = tuple(sorted(columns.items()))
    return shown


def table_of(readings: Mapping[tuple[Any, ...], Any], domain: str, table: str) -> Shown:
    """Return what a table has now."""
    return {
        (part, *key): tuple(sorted(row.items()))
        for (of_domain, of_table, _, part, *key), row in readings.items()
        if (of_domain, of_table) == (domain, table)
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_history_is_what_the_table_had_been(seed: int) -> None:
    """On every day it says what the table has on a later day after the records that had been received by then."""
    rng = Random(seed)  # noqa: S311 (nothing secret)
    topics = random_topics(rng)
    readings = readings_after(in_any_order(rng, topics), DAYS[-1], rng.randint(1, 5))
    for known in DAYS:
        until_then = [[row for row in topic if row["received_at"].date() <= known] for topic in topics]
        for effective in (each for each in DAYS if each >= known):
            expected = readings_after([row for topic in until_then for row in topic], effective)
            for domain, table in TABLES:
                found = table_as_of(readings, domain, table, effective, known)
                assert found == table_of(expected, domain, table), (table, effective, known)


@pytest.mark.parametrize("seed", range(40))
def test_the_order_of_arrival_does_not_matter(seed: int) -> None:
    """Histories are the same in every order, in batches of any size, and whatever days began in between."""
    rng = Random(seed)  # noqa: S311 (nothing secret)
    topics = random_topics(rng)
    expected = readings_after([row for topic in topics for row in topic], DAYS[-1])
    rows = in_any_order(rng, topics)
    for on in DAYS[:8]:
        rows.insert(rng.randint(0, len(rows)), _received(day_begun(on.isoformat()), 0, FIRST))
    assert readings_after(rows, DAYS[-1], rng.randint(1, 6)) == expected


def decided_meanwhile() -> list[dict[str, Any]]:
    """Return two registrations of one person, and a decision between them that was taken back later."""
    changes = changes_of(
        notice(HERE, "13104-1", "初期登録", "2026-08-20", {"p": OLD}, line=1),
        notice(THERE, "01100-1", "初期登録", "2026-08-25", {"p": OLD}, line=1),
    )
    decision = settlement("p", THERE, "01100-1", THERE, line=1)
    taken_back = settlement("p", THERE, "01100-1", THERE, line=2, taken_back=True)
    return [*changes, decision, taken_back]


def corrected_on_the_same_day() -> list[dict[str, Any]]:
    """Return a registration with a birth date by which the person is insured, and a move on its day with another."""
    young = {**PERSON, "birth_date": "1990-01-01"}
    return changes_of(
        notice(THERE, "01100-1", "初期登録", "2026-08-20", {"p": OLD}, line=1),
        notice(THERE, "01100-2", "転出", "2026-08-20", {"p": {}}, moved_to=HERE, line=2),
        notice(HERE, "13104-1", "転入", "2026-08-20", {"p": young}, moved_from=THERE, line=3),
    )


def changes_of(*notices: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of `person.change` that follow from notices."""
    household = TwoSteps()
    return [row for each in notices for row in household.accept_notices([each])]


OLD = {**PERSON, "birth_date": "1950-01-01"}


@pytest.mark.parametrize(
    ("records", "parts"), [(decided_meanwhile(), {HERE, THERE}), (corrected_on_the_same_day(), {THERE})]
)
def test_what_was_known_meanwhile_is_in_the_history_in_every_order(
    records: list[dict[str, Any]], parts: set[str]
) -> None:
    """Also if what came later was processed first, and nothing of the present depends on what comes now."""
    received = [_received(row, number, DAYS[number]) for number, row in enumerate(records)]
    expected = readings_after(received, DAYS[-1])
    assert {key[3] for key in expected if key[1] == "insurance_history"} == parts
    for order in permutations(received):
        assert readings_after(order, DAYS[-1], size=1) == expected


def test_a_measure_takes_the_places_out_of_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """For ever: in the table they come back once no measure is in force."""
    (reading,) = HISTORIES["card"]
    monkeypatch.setitem(HISTORIES, "card", (replace(reading, located=frozenset({5})),))
    steps = TwoSteps(serialized=True)

    def uses() -> list[str | None]:
        readings = DomainStores(steps.outputs).readings
        return [row["use_abroad"] for key, row in readings.items() if key[1] == "card_history"]

    steps.submit([notice(HERE, "13104-1", "初期登録", "2026-04-01", {"p": PERSON}, line=1)])
    steps.change(
        [
            event(
                "card",
                "CardIssued",
                "p",
                "2026-05-01",
                "1",
                serial="S",
                kind="abroad",
                expires_on="2036-01-01",
            )
        ]
    )
    assert uses() == ["no"]
    steps.submit([notice(HERE, "13104-2", "支援措置開始", "2026-06-01", {"p": {}}, line=2)])
    assert uses() == [None]
    steps.submit([notice(HERE, "13104-3", "支援措置終了", "2026-07-01", {"p": {}}, line=3)])
    assert uses() == [None]
