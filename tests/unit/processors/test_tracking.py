"""A case is complete when every person is dispatched and every change has its receipt, whatever the order."""

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
    """Draw all events of one case, and the same events shuffled, some of them repeated."""
    persons = [f"p{n}" for n in range(draw(st.integers(0, 4)))]
    dispatched = [
        CaseDispatched(
            person,
            frozenset(
                change_id(d, person, draw(st.integers(1, 3))) for d in draw(st.sets(st.sampled_from("abc")))
            ),
        )
        for person in persons
    ]
    receipts = [
        ReceiptReceived(change, draw(st.integers(0, 9)))
        for person_changes in dispatched
        for change in sorted(person_changes.changes)
    ]
    events: list[CaseEvent] = [CaseOpened("MOVED_IN", len(persons), 0), *dispatched, *receipts]
    repeated = draw(st.lists(st.sampled_from(events), max_size=5))
    return events, draw(st.permutations([*events, *repeated]))


@given(histories())
def test_a_case_completes_in_any_order_and_once(history: tuple[list[CaseEvent], list[CaseEvent]]) -> None:
    """The case ends complete and the same, whatever the order of the events and their repetitions."""
    events, shuffled = history
    case = TrackedCase()
    for event in shuffled:
        case = case.apply([event])
    assert case.complete
    assert case == TrackedCase().apply(shuffled) == TrackedCase().apply(events)


@given(histories(), st.data())
def test_a_case_is_not_complete_before_its_last_event(
    history: tuple[list[CaseEvent], list[CaseEvent]], data: st.DataObject
) -> None:
    """If any event is missing, the case stays open."""
    events, _ = history
    missing = data.draw(st.integers(0, len(events) - 1))
    assert not TrackedCase().apply(events[:missing] + events[missing + 1 :]).complete


def test_a_complete_case_has_no_persons() -> None:
    """A complete case drops the codes of its persons."""
    case = TrackedCase().apply(
        [CaseOpened("BORN", 1, 0), CaseDispatched("p", frozenset({"a/p/1"})), ReceiptReceived("a/p/1", 7)]
    )
    assert case == TrackedCase(opened=CaseOpened("BORN", 1, 0), changes=1, applied_ms=7, complete=True)


def test_an_open_case_becomes_overdue() -> None:
    """The time counts from the submission; a complete case never is overdue."""
    case = TrackedCase().apply([CaseOpened("DIED", 1, 0)])
    assert case.status(HOUR_MS, HOUR_MS) is CaseStatus.OPEN
    assert case.status(HOUR_MS + 1, HOUR_MS) is CaseStatus.OVERDUE
    assert case.apply([CaseDispatched("p", frozenset())]).status(2 * HOUR_MS, HOUR_MS) is CaseStatus.COMPLETE
