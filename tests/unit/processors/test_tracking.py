"""A case is complete when every person is dispatched and every change has its receipt, whatever the order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from infra.tracker.cases import SCHEMA, row_of, statuses, summary
from processors.japan import first_ms_of
from processors.tracking import (
    CaseDispatched,
    CaseEvent,
    CaseOpened,
    CaseStatus,
    ReceiptReceived,
    TrackedCase,
    change_id,
)
from schemas.tables import table_from_rows

HOUR_MS = 3_600_000
DAY = date(2026, 12, 20)
DAY_MS = first_ms_of(DAY)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[CaseEvent], list[CaseEvent]]:
    """Draw all events of one case, and the same events shuffled, some of them repeated."""
    persons = [f"p{n}" for n in range(draw(st.integers(0, 4)))]
    until = draw(st.none() | st.just(DAY))
    dispatched = [
        CaseDispatched(
            person,
            frozenset(
                change_id(d, person, draw(st.integers(1, 3))) for d in draw(st.sets(st.sampled_from("abc")))
            ),
            waiting_until=until,
        )
        for person in persons
    ]
    waits = [
        replace(each, changes=frozenset(sorted(each.changes)[:1]), waits=True) for each in dispatched if until
    ]
    receipts = [
        ReceiptReceived(change, draw(st.integers(0, 9)))
        for person_changes in dispatched
        for change in sorted(person_changes.changes)
    ]
    events: list[CaseEvent] = [CaseOpened("MOVED_IN", len(persons), 0), *dispatched, *receipts]
    repeated = [*waits, *draw(st.lists(st.sampled_from([*events, *waits]), max_size=5))]
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


def waiting_case() -> TrackedCase:
    """Return a case of two persons whose rows wait for a day; one of them has a message."""
    waits = [CaseDispatched(person, frozenset({f"portal/{person}/1"}), True, DAY) for person in "pq"]
    receipts = [ReceiptReceived(f"portal/{person}/1", 5) for person in "pq"]
    return TrackedCase().apply([CaseOpened("MOVED_OUT", 2, 0), *waits, *receipts])


def test_a_case_waits_until_its_day() -> None:
    """Until then it isn't overdue; then the time counts from that day on, and the case is complete with its changes."""
    case = waiting_case()
    assert (case.complete, case.waiting_until) == (False, DAY)
    assert case.status(DAY_MS - 1, HOUR_MS) is CaseStatus.WAITING
    assert case.status(DAY_MS + HOUR_MS, HOUR_MS) is CaseStatus.OPEN
    assert case.status(DAY_MS + HOUR_MS + 1, HOUR_MS) is CaseStatus.OVERDUE
    closed = [
        CaseDispatched(person, frozenset({f"portal/{person}/1", f"nta/{person}/1"}), False, DAY)
        for person in "pq"
    ]
    case = case.apply(closed)
    assert (case.waiting, case.pending) == (frozenset(), frozenset({"nta/p/1", "nta/q/1"}))
    assert case.status(DAY_MS + HOUR_MS, HOUR_MS) is CaseStatus.OPEN
    case = case.apply([ReceiptReceived(f"nta/{person}/1", DAY_MS + 1) for person in "pq"])
    assert case == TrackedCase(
        CaseOpened("MOVED_OUT", 2, 0), waiting_until=DAY, changes=4, applied_ms=DAY_MS + 1, complete=True
    )


def test_a_case_that_lacks_a_person_is_overdue() -> None:
    """Also while the others wait: somebody's record may be a dead letter."""
    waits = CaseDispatched("p", frozenset(), True, DAY)
    case = TrackedCase().apply([CaseOpened("MOVED_OUT", 2, 0), waits])
    assert case.status(HOUR_MS + 1, HOUR_MS) is CaseStatus.OVERDUE
    assert case.apply([replace(waits, person="q")]).status(HOUR_MS + 1, HOUR_MS) is CaseStatus.WAITING


@given(histories(), st.sampled_from([0, HOUR_MS, HOUR_MS + 1, DAY_MS - 1, DAY_MS, DAY_MS + HOUR_MS + 1]))
def test_columns_have_the_same_statuses(
    history: tuple[list[CaseEvent], list[CaseEvent]], now_ms: int
) -> None:
    """The status of each case of a table is that of the case."""
    cases, case = [TrackedCase(), waiting_case()], TrackedCase()
    for event in history[1]:
        case = case.apply([event])
        cases.append(case)
    table = table_from_rows(SCHEMA, [row_of("131041/1", case) for case in cases])
    expected = [case.status(now_ms, HOUR_MS).value for case in cases]
    assert statuses(table, now_ms, HOUR_MS).to_pylist() == expected
    assert summary(table, now_ms, HOUR_MS)["waiting"] == expected.count("waiting")
