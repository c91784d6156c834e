"""The default fold of a declared entity, and the rows that a reading has of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.entities.entity_fold import fold
from processors.entities.rows import Row, RowContext, rows_of
from processors.entities.timeline import NoEffect, Submission
from tests.unit.processors.entities.cards import LIBRARY_CARD, READINGS, cancelled, day, submission

pytestmark = pytest.mark.unit

ISSUED = submission("CardIssued", 1, branch="北館")
LOST = submission("CardLost", 3)
FOUND = submission("CardFound", 5)
VOIDED = submission("CardVoided", 6)
RETURNED = submission("CardReturned", 7)
SECOND = submission("CardIssued", 4, "B")


def rows(submissions: list[Submission], on: date, *, protected: bool = False) -> dict[str, Row]:
    """Return the rows on a day by serial."""
    timeline = fold(LIBRARY_CARD, submissions)
    context = RowContext(on, protected, {}, lambda domain, part: None)
    found = rows_of(timeline, READINGS, context)
    return {id_.key[0]: row for id_, row in found}


def without_effect(submissions: list[Submission]) -> list[str]:
    """Return the numbers of the submissions without effect."""
    return [s.number for s, _ in fold(LIBRARY_CARD, submissions).without_effect]


def reasons(submissions: list[Submission]) -> dict[str, NoEffect]:
    """Return why submissions have no effect, by their events."""
    return {s.event: reason for s, reason in fold(LIBRARY_CARD, submissions).without_effect}


def test_a_row_follows_the_events() -> None:
    """Each event changes the row from its day on; before the first there is no row."""
    history = [ISSUED, LOST, FOUND, RETURNED]
    assert rows(history, day(1) - (day(2) - day(1))) == {}
    assert rows(history, day(2))["A"] == Row("active", day(1), ("A", "active", "北館"))
    assert rows(history, day(3))["A"] == Row("active", day(3), ("A", "lost", "北館"))
    assert rows(history, day(6))["A"] == Row("active", day(5), ("A", "active", "北館"))
    assert rows(history, day(7))["A"] == Row("closed", day(7), ("A", "active", None))


def test_a_change_that_the_reading_cannot_see_leaves_the_day() -> None:
    """A row has the day since which the domain sees it as it is."""
    reissued = submission("CardIssued", 8, branch="北館", remark="二枚目")
    unseen = [ISSUED, submission("BranchChanged", 2, branch="北館")]
    assert rows(unseen, day(2))["A"].effective_on == day(1)
    assert rows([ISSUED, RETURNED, reissued], day(8))["A"].effective_on == day(8)


def test_what_points_to_the_place_is_withheld() -> None:
    """While the person is protected, the branch is null."""
    assert rows([ISSUED], day(1), protected=True)["A"].columns == ("A", "active", None)


def test_at_most_one_is_in_force() -> None:
    """A second active card has no effect while the first is active, and has once the first is lost."""
    early = submission("CardIssued", 2, "B")
    assert without_effect([ISSUED, early]) == [early.number]
    assert without_effect([ISSUED, LOST, SECOND]) == []
    assert without_effect([ISSUED, LOST, SECOND, FOUND]) == [FOUND.number]
    assert reasons([ISSUED, early]) == {"CardIssued": NoEffect.AT_MOST_ONE}
    assert reasons([ISSUED, LOST, SECOND, FOUND]) == {"CardFound": NoEffect.AT_MOST_ONE}
    assert "B" not in rows([ISSUED, early], day(9))


def test_a_final_value_stays() -> None:
    """Nothing changes a void card: it is not found, not returned, and not issued again."""
    after = [submission("CardFound", 8), RETURNED, submission("CardIssued", 9)]
    assert sorted(without_effect([ISSUED, VOIDED, *after])) == sorted(s.number for s in after)
    assert set(reasons([ISSUED, VOIDED, *after]).values()) == {NoEffect.FINAL}
    assert rows([ISSUED, VOIDED, *after], day(9))["A"].columns[1] == "void"


def test_a_change_without_an_opening_is_without_effect_until_it_arrives() -> None:
    """An event about a card that nobody issued is a conflict; a later submission may make it right."""
    assert without_effect([LOST]) == [LOST.number]
    assert without_effect([LOST, ISSUED]) == []
    assert reasons([LOST]) == {"CardLost": NoEffect.NOT_OPEN}
    assert reasons([ISSUED, submission("CardIssued", 2)]) == {"CardIssued": NoEffect.OPEN_ALREADY}


def test_a_cancelled_event_never_was() -> None:
    """A cancellation takes the event back; if it opened the row, the row goes."""
    assert rows([ISSUED, LOST, cancelled(LOST)], day(4))["A"].columns[1] == "active"
    assert rows([ISSUED, cancelled(ISSUED)], day(4)) == {}


def test_events_of_one_day_are_ordered_by_rank() -> None:
    """On one day the order of the declaration counts, not that of arrival."""
    same_day = [submission("CardFound", 1, received=1), submission("CardLost", 1, received=2), ISSUED]
    assert without_effect(same_day) == []
    assert rows(same_day, day(1))["A"] == Row("active", day(1), ("A", "active", "北館"))


@st.composite
def histories(draw: Callable[[Any], Any]) -> list[Submission]:
    """Draw submissions about two cards within a week, some of them cancelled."""
    events = st.sampled_from([event.name for event in LIBRARY_CARD.events])
    drawn = draw(
        st.lists(st.tuples(events, st.integers(1, 7), st.sampled_from("AB"), st.integers(0, 3)), max_size=9)
    )
    submissions = [
        submission(event, on, serial, number=f"n{index}", received=received, branch=f"館{index % 2}")
        for index, (event, on, serial, received) in enumerate(drawn)
    ]
    taken_back = [cancelled(s) for s in submissions if draw(st.integers(0, 4)) == 0]
    return [*submissions, *taken_back]


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(history: list[Submission], random: Any) -> None:
    """The timeline is the same in whatever order the submissions arrive."""
    shuffled = list(history)
    random.shuffle(shuffled)
    assert fold(LIBRARY_CARD, shuffled) == fold(LIBRARY_CARD, history)


@given(histories(), st.integers(1, 8))
def test_a_day_depends_on_nothing_later(history: list[Submission], number: int) -> None:
    """The rows of a day are those of the submissions that take effect by that day."""
    by_then = [s for s in history if s.effective_on <= day(number)]
    assert rows(by_then, day(number)) == rows(history, day(number))


@given(histories())
def test_invariants_hold_on_every_day(history: list[Submission]) -> None:
    """On no day two cards are active, and a void card stays void."""
    void: set[str] = set()
    for number in range(1, 9):
        of_day = rows(history, day(number))
        active = [
            serial for serial, row in of_day.items() if row.status == "active" and row.columns[1] == "active"
        ]
        assert len(active) <= 1
        assert void <= {serial for serial, row in of_day.items() if row.columns[1] == "void"}
        void = {serial for serial, row in of_day.items() if row.columns[1] == "void"}
