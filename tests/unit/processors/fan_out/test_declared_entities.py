"""Declared entities in fan-out: events of a person, rows of readings, days that come, conflicts and rejections."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.processors.intake_output import day_begun, event, notice
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps

pytestmark = pytest.mark.unit


def card_event(name: str, day: str, number: str, serial: str = "S1", **others: Any) -> Row:
    """Return an event about a card of person `p`."""
    fields = {"serial": serial} if name != "Cancelled" else {}
    if name == "CardIssued":
        fields |= {"kind": "standard", "expires_on": "2030-01-01"}
    return event("card", name, "p", f"2026-{day}", number, **fields, **others)


def cards(steps: TwoSteps) -> dict[str, tuple[Any, ...]]:
    """Return status, state and day of each card that the card service has, by serial."""
    readings = DomainStores(steps.outputs).readings
    return {
        key[-1]: (row["status"], row["state"], row["effective_on"].isoformat()[5:])
        for key, row in readings.items()
        if key[:2] == ("card", "card")
    }


def conflicts(steps: TwoSteps) -> list[str]:
    """Return the numbers of submissions with an open conflict."""
    return sorted(row["number"] for row in DomainStores(steps.outputs).conflicts.values())


def codes(steps: TwoSteps) -> list[str]:
    """Return the codes of the rejections."""
    return [row["code"] for row in steps.outputs.get("rejected.card", ())]


ISSUED = card_event("CardIssued", "04-01", "1")
LOST = card_event("CardLost", "05-01", "2")


@pytest.mark.parametrize("serialized", [False, True])
def test_events_become_rows(serialized: bool) -> None:
    """The service of a card that is issued and lost has it so; the state passes through the changelog unchanged."""
    steps = TwoSteps(serialized=serialized)
    steps.change([ISSUED])
    assert cards(steps) == {"S1": ("active", "active", "04-01")}
    steps.change([LOST])
    assert cards(steps) == {"S1": ("active", "lost", "05-01")}


def test_an_event_ahead_of_its_day_waits() -> None:
    """It takes effect when its day begins: by the clock, or as a record is received on that day."""
    steps = TwoSteps(serialized=True)
    steps.change([ISSUED, card_event("CardReturned", "10-01", "2")])
    assert cards(steps)["S1"][0] == "active"
    steps.change([day_begun("2026-09-30")])
    assert cards(steps)["S1"][0] == "active"
    steps.change([day_begun("2026-10-01")])
    assert cards(steps)["S1"] == ("closed", "active", "10-01")


def test_days_that_began_before_change_nothing() -> None:
    """A day that is repeated, or earlier than one that has begun, has no effect."""
    steps = TwoSteps()
    steps.change([ISSUED, card_event("CardReturned", "10-01", "2"), day_begun("2026-10-02")])
    before = {topic: list(rows) for topic, rows in steps.outputs.items()}
    steps.change([day_begun("2026-10-01"), day_begun("2026-10-02")])
    assert steps.outputs == before


def test_a_day_with_many_persons_is_worked_off_in_portions() -> None:
    """Everybody of whom something is due gets it, though a portion has 200 persons."""
    steps = TwoSteps()
    persons = [f"p{number}" for number in range(450)]
    fields = {"serial": "S", "kind": "standard", "expires_on": "2030-01-01"}
    steps.change([event("card", "CardIssued", p, "2026-10-01", "1", **fields) for p in persons])
    assert DomainStores(steps.outputs).readings == {}
    steps.change([day_begun("2026-10-01")])
    sent = [key for key in DomainStores(steps.outputs).readings if key[1] == "card"]
    assert len(sent) == len(persons)


def test_a_number_is_used_once() -> None:
    """The same content again is a duplicate, other content under the same number is rejected."""
    steps = TwoSteps()
    steps.change([ISSUED, ISSUED, card_event("CardIssued", "04-02", "1", "S2")])
    assert codes(steps) == ["DUPLICATE", "NUMBER_TAKEN"]
    assert [row["notice"] for row in steps.outputs["rejected.card"]] == ["1", "1"]
    assert list(cards(steps)) == ["S1"]


def test_a_cancellation_takes_an_event_back() -> None:
    """The row is as if the event had never been; what isn't there, or is cancelled already, can't be."""
    steps = TwoSteps(serialized=True)
    steps.change([ISSUED, LOST, card_event("Cancelled", "05-02", "3", cancels="2")])
    assert cards(steps) == {"S1": ("active", "active", "04-01")}
    steps.change([card_event("Cancelled", "05-02", "4", cancels="2")])
    steps.change([card_event("Cancelled", "05-02", "5", cancels="99")])
    assert codes(steps) == ["CANCELS_CANCELLED", "CANCELS_UNKNOWN"]
    steps.change([card_event("Cancelled", "05-02", "6", cancels="1")])
    assert cards(steps) == {}


def test_what_has_no_effect_is_a_conflict_until_it_has() -> None:
    """A loss before the card is known is reported, and withdrawn once the card is."""
    steps = TwoSteps(serialized=True)
    steps.change([LOST])
    assert conflicts(steps) == ["2"]
    steps.change([ISSUED])
    assert conflicts(steps) == []
    assert cards(steps) == {"S1": ("active", "lost", "05-01")}


HISTORY = [
    ISSUED,
    LOST,
    card_event("CardIssued", "05-02", "3", "S2"),
    card_event("CardFound", "05-03", "4"),
    card_event("CardVoided", "05-04", "5", "S2"),
    card_event("CardFound", "05-05", "6"),
]


@given(st.permutations(HISTORY), st.integers(1, 6))
def test_the_order_of_arrival_does_not_matter(history: list[Row], size: int) -> None:
    """Rows and conflicts are the same in every order, in batches of any size."""
    expected, steps = TwoSteps(), TwoSteps(serialized=True)
    expected.change(HISTORY)
    for first in range(0, len(history), size):
        steps.change(history[first : first + size])
    assert cards(steps) == cards(expected)
    assert conflicts(steps) == conflicts(expected)


def test_an_unknown_event_is_poison() -> None:
    """An event that this version doesn't know is kept as a dead letter, and nothing else of the person is lost."""
    unknown = card_event("CardLost", "05-01", "2")
    unknown["event"] = {**unknown["event"], "event": "CardEaten"}
    steps = TwoSteps()
    with pytest.raises(AssertionError):
        steps.change([unknown])
    steps.change([ISSUED])
    assert list(cards(steps)) == ["S1"]


def test_days_are_those_of_japan() -> None:
    """A record received at 15:00 UTC begins the next day in Japan."""
    ahead = card_event("CardReturned", "09-02", "2")
    steps = TwoSteps()
    steps.change([ISSUED, ahead])
    assert cards(steps)["S1"][0] == "active"
    late = card_event("CardIssued", "04-01", "9", "S9", received_on="2026-09-01")
    late["received_at"] = late["received_at"].replace(hour=15)
    steps.change([late])
    assert cards(steps)["S1"] == ("closed", "active", "09-02")


def test_a_resident_without_entities_costs_no_state() -> None:
    """A notice about somebody of whom no entity is known stores nothing for entities."""
    steps = TwoSteps()
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
    facts |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
    steps.submit([notice("131041", "13104-1", "初期登録", "2026-04-01", {"p": facts})])
    assert steps.fan_out_state["entities"].values == {}
    assert date(2026, 9, 1) == steps.fan_out_state["clock"].values["day"]["day"]


@pytest.mark.parametrize("born", ["1961-06-01", "1961-09-02", "1961-12-01"])
def test_who_reaches_an_age_is_insured_from_its_day_on(born: str) -> None:
    """Until then only the day is on the agenda; a move before it changes the municipality, a death removes the day."""
    steps = TwoSteps(serialized=True)
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": born, "sex": "女"}
    facts |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
    steps.submit([notice("131041", "13104-1", "初期登録", "2026-04-01", {"p": facts})])
    reached = date.fromisoformat(born).replace(year=2026) - timedelta(days=1)
    agenda = sorted(steps.fan_out_state["agenda"].values)
    assert agenda == ([f"{reached}/p/care-insurance"] if reached > date(2026, 9, 1) else [])
    steps.change([day_begun(str(reached))])
    readings = DomainStores(steps.outputs).readings
    assert readings["care", "insurance", "p", "131041"]["effective_on"] == reached
    assert steps.fan_out_state["agenda"].values == {}
