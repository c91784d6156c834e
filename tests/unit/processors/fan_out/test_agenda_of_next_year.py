"""The agenda has the days until the end of the following year; a new year puts the days of the next one on it."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from processors.fan_out import partition_clock
from processors.fan_out.partition_clock import agenda_end
from tests.unit.processors.intake_output import day_begun, notice
from tests.unit.processors.two_steps import DomainStores, TwoSteps

pytestmark = pytest.mark.unit


def registered(steps: TwoSteps, person: str, born: date) -> None:
    """Register a person on 1 April 2026, received on 1 September."""
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": str(born), "sex": "女"}
    facts |= {"relationship": "世帯主", "household": person, "address": "一丁目"}
    steps.submit([notice("131041", f"13104-{person}", "初期登録", "2026-04-01", {person: facts})])


def agenda(steps: TwoSteps) -> list[str]:
    """Return the keys of the agenda."""
    return sorted(steps.fan_out_state["agenda"].values)


def insured(steps: TwoSteps) -> dict[str, date]:
    """Return since when each person has care insurance."""
    readings = DomainStores(steps.outputs).readings
    return {key[2]: row["effective_on"] for key, row in readings.items() if key[:2] == ("care", "insurance")}


def test_a_day_is_on_the_agenda_from_the_year_before_on() -> None:
    """The person reaches the age on 9 March 2030."""
    steps = TwoSteps(serialized=True)
    registered(steps, "p", date(1965, 3, 10))
    for day in ("2026-12-31", "2028-12-31"):
        steps.change([day_begun(day)])
        assert agenda(steps) == []
    steps.change([day_begun("2029-01-01")])
    assert agenda(steps) == ["2030-03-09/p/care-insurance"]
    assert steps.fan_out_state["clock"].values["day"]["complete_until"] == date(2030, 12, 31)
    steps.change([day_begun("2030-03-09")])
    assert (insured(steps), agenda(steps)) == ({"p": date(2030, 3, 9)}, [])


def test_days_of_years_without_a_clock_are_made_up_for() -> None:
    """If the first day after 2026 is one of 2031, what was due in between has its own day."""
    steps = TwoSteps(serialized=True)
    registered(steps, "p", date(1965, 3, 10))
    steps.change([day_begun("2031-05-01")])
    assert (insured(steps), agenda(steps)) == ({"p": date(2030, 3, 9)}, [])


@pytest.mark.parametrize("seed", range(6))
def test_nobody_is_left_out(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever the days, the size of portions, and who comes meanwhile: everybody has the own day."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    monkeypatch.setattr(partition_clock, "PORTION", chance.choice((1, 3, 200)))
    persons = {
        f"p{number}": date(chance.randrange(1962, 1975), chance.randrange(1, 13), chance.randrange(1, 29))
        for number in range(25)
    }
    days = sorted(date(2027, 1, 1) + timedelta(chance.randrange(4_500)) for _ in range(12))
    steps, planned = TwoSteps(serialized=True), 0
    for number, (person, born) in enumerate(persons.items()):
        registered(steps, person, born)
        if number % 5 == 4:
            for day in days[planned : planned + 2]:
                steps.change([day_begun(str(day))])
            planned += 2
    for day in (*days[planned:], date(2045, 1, 1)):
        steps.change([day_begun(str(day))])
        assert all(key <= str(agenda_end(day) + timedelta(1)) for key in agenda(steps))
    reached = {person: born.replace(year=born.year + 65) - timedelta(1) for person, born in persons.items()}
    assert insured(steps) == reached
    assert agenda(steps) == []
