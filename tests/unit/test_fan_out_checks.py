"""What the checks of simulation and chaos find in fan-out's clock, agenda and adoption."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from schemas.declaration_digests import declaration_digests
from tests.fan_out_checks import adoption_end_differences, agenda_differences, clock_differences

pytestmark = pytest.mark.unit
LAST = date(2026, 3, 30)
DIGESTS = [{"name": name, "digest": digest} for name, digest in declaration_digests().items()]
COMPLETE: dict[str, Any] = {"number": 2, "complete": True, "digests": DIGESTS}


def days(*numbers: int, catching_up: bool = False) -> list[dict[str, Any]]:
    """Return what a partition stores on these days of March."""
    return [{"day": date(2026, 3, number), "is_catching_up": catching_up} for number in numbers]


@pytest.mark.parametrize(
    ("partitions", "found"),
    [
        ([days(28, 30), days(30)], []),
        ([days(28, 30, 29, 30)], ["went back 1 times"]),
        ([days(29), []], ["2 partitions end on another day"]),
        ([days(30, catching_up=True)], ["1 partitions wait"]),
    ],
)
def test_days(partitions: list[list[dict[str, Any]]], found: list[str]) -> None:
    """They only grow, up to the last one, and nothing remains to be done."""
    sentences = list(clock_differences(partitions, LAST))
    assert len(sentences) == len(found)
    assert all(part in sentence for part, sentence in zip(found, sentences, strict=True))


def test_agenda() -> None:
    """What is due on the last day is overdue at the end; what comes later is not."""
    assert list(agenda_differences(["2026-03-31/p/card"], LAST)) == []
    assert list(agenda_differences(["2026-03-30/p/card", "2026-03-31/p/card"], LAST)) == [
        "1 entries of the agenda are overdue"
    ]


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ([COMPLETE], []),
        ([], ["the adoption isn't complete"]),
        ([COMPLETE, {**COMPLETE, "complete": False}], ["the adoption isn't complete"]),
        ([{**COMPLETE, "number": 1}], ["the adoption ends with other declarations"]),
        ([{**COMPLETE, "digests": DIGESTS[1:]}], ["the adoption ends with other declarations"]),
    ],
)
def test_adoption(stored: list[dict[str, Any]], found: list[str]) -> None:
    """It is complete, with these declarations."""
    assert list(adoption_end_differences(stored, 2)) == found
