"""A case is done when every person has parted and every part has its receipt, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.tracking import Case, News, Opened, Parted, Received, Status, part_name

HOUR_MS = 3_600_000


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[News], list[News]]:
    """All the news of one case, and the same news shuffled, some of it told twice."""
    people = [f"p{n}" for n in range(draw(st.integers(0, 4)))]
    parted = [
        Parted(
            person,
            frozenset(
                part_name(d, person, draw(st.integers(1, 3))) for d in draw(st.sets(st.sampled_from("abc")))
            ),
        )
        for person in people
    ]
    receipts = [Received(part, draw(st.integers(0, 9))) for one in parted for part in sorted(one.parts)]
    news: list[News] = [Opened("MOVED_IN", len(people), 0), *parted, *receipts]
    again = draw(st.lists(st.sampled_from(news), max_size=5))
    return news, draw(st.permutations([*news, *again]))


@given(histories())
def test_a_case_completes_in_any_order_and_once(history: tuple[list[News], list[News]]) -> None:
    """Whatever order the news comes in, and however often, the case ends complete and the same."""
    news, shuffled = history
    one_by_one = Case()
    for one in shuffled:
        one_by_one = one_by_one.told([one])
    assert one_by_one.complete
    assert one_by_one == Case().told(shuffled) == Case().told(news)


@given(histories(), st.data())
def test_a_case_is_not_complete_before_its_last_news(
    history: tuple[list[News], list[News]], data: st.DataObject
) -> None:
    """Any one of the news missing, the case stays open."""
    news, _ = history
    missing = data.draw(st.integers(0, len(news) - 1))
    assert not Case().told(news[:missing] + news[missing + 1 :]).complete


def test_a_complete_case_names_nobody() -> None:
    """What is done forgets the persons."""
    done = Case().told([Opened("BORN", 1, 0), Parted("p", frozenset({"a/p/1"})), Received("a/p/1", 7)])
    assert done == Case(opened=Opened("BORN", 1, 0), parts=1, applied_ms=7, complete=True)


def test_an_open_case_is_overdue_after_its_time() -> None:
    """Overdue counts from the hand-over, and a case that is complete never is."""
    case = Case().told([Opened("DIED", 1, 0)])
    assert case.status(HOUR_MS, HOUR_MS) is Status.OPEN
    assert case.status(HOUR_MS + 1, HOUR_MS) is Status.OVERDUE
    assert case.told([Parted("p", frozenset())]).status(2 * HOUR_MS, HOUR_MS) is Status.COMPLETE
