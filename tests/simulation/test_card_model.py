"""The model of cards by examples, and that the submissions drawn for histories reach all of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from tests.simulation.card_model import expected_cards
from tests.simulation.card_submissions import (
    CANCELLED,
    DAYS,
    FIRST_DAY,
    LAST_DAY,
    CardSubmission,
    draw_card_submissions,
)

RESIDENTS = [str(number) for number in range(16)]


def submission(event: str, after: int, number: str, serial: str = "A", **others: str) -> CardSubmission:
    """Return a submission about a card, with its day of effect counted from the first day."""
    about = CardSubmission(
        FIRST_DAY, number, event, "1", FIRST_DAY + timedelta(after), cancels=others.get("cancels")
    )
    if event == CANCELLED:
        return about
    expires_on = LAST_DAY + timedelta(400) if event == "CardIssued" else None
    return about._replace(serial=serial, expires_on=expires_on)


@pytest.mark.parametrize(
    ("submissions", "states", "conflicts"),
    [
        ([("CardIssued", -9, "1"), ("CardLost", -8, "2")], ["lost"], []),
        ([("CardLost", -8, "2"), ("CardIssued", -9, "1"), ("CardFound", -7, "3")], ["active"], []),
        ([("CardIssued", -9, "1"), ("CardVoided", -8, "2"), ("CardFound", -7, "3")], ["void"], ["3"]),
        ([("CardIssued", -9, "1"), ("CardIssued", -8, "2", "B")], ["active"], ["2"]),
        (
            [("CardIssued", -9, "1"), ("CardLost", -8, "2"), ("CardIssued", -7, "3", "B")],
            ["lost", "active"],
            [],
        ),
        ([("CardIssued", -9, "1"), ("CardVoided", 5, "2"), ("CardFound", 6, "3")], ["active"], ["3"]),
        ([("CardLost", -8, "2")], [], ["2"]),
    ],
)
def test_examples(submissions: list[tuple[str, int, str]], states: list[str], conflicts: list[str]) -> None:
    """Late events count from their day, a void card stays void, and one card is active at most."""
    outcome = expected_cards([submission(*each) for each in submissions], LAST_DAY)
    assert [card.state for card in outcome.rows.values()] == states
    assert sorted(number for _, number, _ in outcome.conflicts) == conflicts


def test_a_cancelled_event_never_was() -> None:
    """Its number stays taken, and it can be cancelled once."""
    lost, cancelled = submission("CardLost", -8, "2"), submission(CANCELLED, 0, "3", cancels="2")
    again = cancelled._replace(number="4")
    outcome = expected_cards([submission("CardIssued", -9, "1"), lost, cancelled, again, lost], LAST_DAY)
    assert [card.state for card in outcome.rows.values()] == ["active"]
    assert outcome.rejected == Counter({("4", "CANCELS_CANCELLED"): 1, ("2", "DUPLICATE"): 1})


def test_everything_is_drawn() -> None:
    """The cities of some histories have every reason for a rejection, every state, conflicts, and late changes."""
    drawn = [draw_card_submissions(RESIDENTS, seed) for seed in range(40)]
    outcomes = [expected_cards(submissions, LAST_DAY) for submissions in drawn]
    cards = [card for outcome in outcomes for card in outcome.rows.values()]
    reasons = {reason for outcome in outcomes for _, reason in outcome.rejected}
    assert reasons == {
        "EFFECTIVE_IN_FUTURE", "DUPLICATE", "NUMBER_TAKEN", "CANCELS_UNKNOWN", "CANCELS_CANCELLED"
    }  # fmt: skip
    assert {card.state for card in cards} == {"active", "suspended", "lost", "void", "expired"}
    assert {card.status for card in cards} == {"active", "closed"}
    assert {card.since for card in cards} >= {FIRST_DAY + timedelta(after) for after in range(1, DAYS + 1)}
    why = {reason for outcome in outcomes for reason in outcome.conflicts.values()}
    assert why == {"OPEN_ALREADY", "NOT_OPEN", "FINAL", "AT_MOST_ONE"}
