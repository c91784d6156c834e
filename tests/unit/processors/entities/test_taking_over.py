"""What a municipality takes over of the fact of the municipality where the person was registered before."""

from __future__ import annotations

from datetime import date

import pytest

from processors.entities.entity_fold import fold
from processors.entities.taken_over import last_day_of_months
from processors.entities.timeline import NoEffect, Submission
from schemas.declare import PART, Entity, Expires, TakesOver, choice, closes, opens
from schemas.declare import day as day_field
from tests.unit.processors.entities.test_consequences import resident

pytestmark = pytest.mark.unit

LEVEL = Entity(
    "level",
    "認定",
    key=(PART,),
    fields=(choice("level", "区分", "1", "2", "3"), day_field("last", "満了日")),
    events=(
        opens("Certified", "認定", "level", "last"),
        closes("Ended", "終了"),
        opens("TakenOver", "引継ぎ").taking_over(
            TakesOver(("level",), "Ended", within_days=14, last_day="last", months=6)
        ),
    ),
    follows=(Expires("Ended", "last"),),
)


def levels(
    on: date, moves: tuple[tuple[str, str | None], ...], last: str = "2027-03-31", *ended: Submission
) -> tuple[dict[str, list[tuple[object, ...]]], int]:
    """Return the versions of each municipality after B has taken over what A had, and the number of conflicts."""
    begun = date(2026, 2, 1)
    certified = Submission("care", "A", "1", "Certified", begun, begun, "1", None, ("3", last))
    taken = certified._replace(part="B", number="2", event="TakenOver", effective_on=on, fields=(None, None))
    timeline = fold(LEVEL, [certified, taken, *ended], resident(*moves))
    versions: dict[str, list[tuple[object, ...]]] = {
        key[0]: [(v.begins, v.open, *v.values) for v in found] for key, found in timeline.versions.items()
    }
    assert {reason for _, reason in timeline.without_effect} <= {
        NoEffect.NOTHING_TO_TAKE_OVER,
        NoEffect.NOT_REGISTERED,
    }
    return versions, len(timeline.without_effect)


def test_what_a_municipality_takes_over() -> None:
    """On day 14 after the move level 3 for six months, and A's ends; on day 15 nothing, and a conflict."""
    moved = (("01-01", "A"), ("05-01", "B"))
    last = date(2027, 3, 31).isoformat()
    versions, conflicts = levels(date(2026, 5, 15), moved)
    assert versions["B"][0] == (date(2026, 5, 15), True, "3", "2026-11-14")
    assert versions["A"] == [(date(2026, 2, 1), True, "3", last), (date(2026, 5, 15), False, "3", last)]
    assert conflicts == 0
    versions, conflicts = levels(date(2026, 5, 16), moved)
    assert ("B" in versions, conflicts) == (False, 1)


def test_only_what_was_in_force_where_the_person_was_registered_before() -> None:
    """Not what had ended there by then, nor what another municipality had; also after days without a registration."""
    assert levels(date(2026, 5, 2), (("01-01", "A"), ("05-01", "B")), "2026-04-29")[1] == 1
    assert levels(date(2026, 5, 2), (("01-01", "A"), ("04-01", "C"), ("05-01", "B")))[1] == 1
    away = (("01-01", "A"), ("04-20", None), ("05-01", "B"))
    assert levels(date(2026, 5, 15), away)[1] == 0
    by_a = Submission(
        "care", "A", "3", "Ended", date(2026, 4, 20), date(2026, 4, 20), "3", None, (None, None)
    )
    assert levels(date(2026, 5, 15), away, "2027-03-31", by_a)[1] == 0
    assert levels(date(2026, 5, 15), (("01-01", "B"),))[1] == 2


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 5, 15), date(2026, 11, 14)),
        (date(2026, 8, 31), date(2027, 2, 28)),
        (date(2026, 7, 1), date(2026, 12, 31)),
        (date(2027, 8, 30), date(2028, 2, 29)),
    ],
)
def test_six_months(first: date, last: date) -> None:
    """They end on the day before the same day, or with the month that has no such day."""
    assert last_day_of_months(first, 6) == last
