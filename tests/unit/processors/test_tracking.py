"""A case is done when every person has parted and every part has its receipt, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.tracking import (
    CaseDispatched,
    CaseEvent,
    CaseOpened,
    CaseStatus,
    ReceiptReceived,
    TrackedCase,
    change_id,
)

HOUR_MS = 3_600_000


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[CaseEvent], list[CaseEvent]]:
    """All the news of one case, and the same news shuffled, some of it told twice."""
    people = [f"p{n}" for n in range(draw(st.integers(0, 4)))]
    parted = [
        CaseDispatched(
            person,
            frozenset(
                change_id(d, person, draw(st.integers(1, 3))) for d in draw(st.sets(st.sampled_from("abc")))
            ),
        )
        for person in people
    ]
    receipts = [
        ReceiptReceived(part, draw(st.integers(0, 9))) for one in parted for part in sorted(one.changes)
    ]
    news: list[CaseEvent] = [CaseOpened("MOVED_IN", len(people), 0), *parted, *receipts]
    again = draw(st.lists(st.sampled_from(news), max_size=5))
    return news, draw(st.permutations([*news, *again]))


@given(histories())
def test_a_case_completes_in_any_order_and_once(history: tuple[list[CaseEvent], list[CaseEvent]]) -> None:
    """Whatever order the news comes in, and however often, the case ends complete and the same."""
    news, shuffled = history
    one_by_one = TrackedCase()
    for one in shuffled:
        one_by_one = one_by_one.apply([one])
    assert one_by_one.complete
    assert one_by_one == TrackedCase().apply(shuffled) == TrackedCase().apply(news)


@given(histories(), st.data())
def test_a_case_is_not_complete_before_its_last_news(
    history: tuple[list[CaseEvent], list[CaseEvent]], data: st.DataObject
) -> None:
    """Any one of the news missing, the case stays open."""
    news, _ = history
    missing = data.draw(st.integers(0, len(news) - 1))
    assert not TrackedCase().apply(news[:missing] + news[missing + 1 :]).complete


def test_a_complete_case_names_nobody() -> None:
    """What is done forgets the persons."""
    done = TrackedCase().apply(
        [CaseOpened("BORN", 1, 0), CaseDispatched("p", frozenset({"a/p/1"})), ReceiptReceived("a/p/1", 7)]
    )
    assert done == TrackedCase(opened=CaseOpened("BORN", 1, 0), changes=1, applied_ms=7, complete=True)


def test_an_open_case_is_overdue_after_its_time() -> None:
    """Overdue counts from the hand-over, and a case that is complete never is."""
    case = TrackedCase().apply([CaseOpened("DIED", 1, 0)])
    assert case.status(HOUR_MS, HOUR_MS) is CaseStatus.OPEN
    assert case.status(HOUR_MS + 1, HOUR_MS) is CaseStatus.OVERDUE
    assert case.apply([CaseDispatched("p", frozenset())]).status(2 * HOUR_MS, HOUR_MS) is CaseStatus.COMPLETE
