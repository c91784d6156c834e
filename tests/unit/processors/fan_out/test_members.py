"""Events of several persons in fan-out: each history decides, and a cancellation must name the same persons."""

from __future__ import annotations

import pytest

from tests.unit.processors.intake_output import event
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps

FIELDS = {"serial": "S", "kind": "standard", "expires_on": "2030-01-01"}
BOTH, ALL_THREE = "digest of p and q", "digest of p, q and r"


def submitted(number: str, *persons: str, members: str | None, cancels: str | None = None) -> list[Row]:
    """Return the records of an event, or a cancellation, about these persons; `members` is the digest of all."""
    name, fields = ("CardIssued", FIELDS) if cancels is None else ("Cancelled", {})
    rows = [event("card", name, each, "2026-04-01", number, cancels=cancels, **fields) for each in persons]
    return [{**row, "event": {**row["event"], "members": members}} for row in rows]


def holders(steps: TwoSteps) -> list[str]:
    """Return the persons with a card."""
    return sorted(key[2] for key in DomainStores(steps.outputs).readings if key[:2] == ("card", "card"))


def codes(steps: TwoSteps) -> list[tuple[str, str]]:
    """Return number and code of each rejection."""
    return [(row["notice"], row["code"]) for row in steps.outputs.get("rejected.card", ())]


ISSUED = submitted("1", "p", "q", members=BOTH)


@pytest.mark.parametrize("serialized", [False, True])
def test_a_cancellation_of_the_same_persons_takes_all_back(*, serialized: bool) -> None:
    """After it nobody of them has a card, whether or not the state passed through the changelog."""
    steps = TwoSteps(serialized=serialized)
    steps.change(ISSUED)
    assert holders(steps) == ["p", "q"]
    steps.change(submitted("2", "p", "q", members=BOTH, cancels="1"))
    assert (holders(steps), codes(steps)) == ([], [])


@pytest.mark.parametrize(
    "cancellation",
    [
        submitted("2", "p", members=None, cancels="1"),
        submitted("2", "p", "r", members="digest of p and r", cancels="1"),
        submitted("2", "p", "q", "r", members=ALL_THREE, cancels="1"),
    ],
)
def test_a_cancellation_of_others_takes_nothing_back(cancellation: list[Row]) -> None:
    """Every person whom it names rejects it with the same reason, also one of whom there is no such number."""
    steps = TwoSteps()
    steps.change([*ISSUED, *cancellation])
    assert holders(steps) == ["p", "q"]
    assert codes(steps) == [("2", "CANCELS_OTHER_PERSONS")] * len(cancellation)


def test_an_event_of_one_person_is_not_taken_back_with_others() -> None:
    """Nor is it for that person alone."""
    steps = TwoSteps()
    steps.change(submitted("1", "p", members=None))
    steps.change(submitted("2", "p", "q", members=BOTH, cancels="1"))
    assert holders(steps) == ["p"]
    assert codes(steps) == [("2", "CANCELS_OTHER_PERSONS")] * 2


def test_a_number_with_other_persons_is_taken() -> None:
    """The persons who have the number keep what they have, and say so; the content of before is a duplicate."""
    steps = TwoSteps()
    steps.change([*ISSUED, *submitted("1", "p", "q", "r", members=ALL_THREE), *ISSUED])
    assert codes(steps) == [
        ("1", "NUMBER_TAKEN_BY_MEMBER"),
        ("1", "NUMBER_TAKEN_BY_MEMBER"),
        ("1", "DUPLICATE"),
        ("1", "DUPLICATE"),
    ]
    assert holders(steps) == ["p", "q", "r"]
    steps.change(submitted("2", "p", "q", "r", members=ALL_THREE, cancels="1"))
    assert holders(steps) == ["p", "q"]
    assert codes(steps)[4:] == [("2", "CANCELS_OTHER_PERSONS")] * 2
