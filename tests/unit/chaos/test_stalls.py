"""How long a partition stood still, from made-up looks at its offsets."""

from __future__ import annotations

import math

import pytest

from tests.chaos.stalls import OpenTransactionMonitor, Span, Track, at, note, slowest, stall_s

IN = ("in.juki.131041", 0)
NOTICE = ("notice", 0)


def track(*looks: tuple[float, int | None, int | None]) -> Track:
    """From looks: when, committed, end."""
    made = Track()
    for moment, committed, after_last in looks:
        for kept, offset in ((made.committed, committed), (made.records, after_last)):
            if offset is not None:
                note(kept, moment, offset)
        made.looks.append((moment, moment))
    return made


def test_only_changes_are_kept_and_told_by_time() -> None:
    """What nobody answered is as it was."""
    made = track((0, 5, 5), (1, 5, 9), (2, None, None), (3, 9, 9))
    assert (len(made.committed), len(made.records)) == (2, 2)
    assert [at(made.committed, moment) for moment in (-1, 0, 2.9, 3)] == [0, 5, 5, 9]
    assert made.left == 0


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        # Something waits from the strike on, and is done after 2 s.
        ([(0, 10, 10), (1, 10, 20), (3, 20, 20)], 2.0),
        # Something comes 4 s after the strike, and is done 1 s later.
        ([(0, 10, 10), (5, 10, 20), (6, 20, 20)], 1.0),
        # Nothing ever came.
        ([(0, 10, 10), (9, 10, 10)], None),
        # Something came, and nobody ever went on.
        ([(0, 10, 10), (2, 10, 20)], math.inf),
        # Something came when it was over, and is not done yet.
        ([(0, 10, 10), (11, 10, 20)], None),
        # A commit seen just after the strike was under way before it: what follows counts.
        ([(0, 10, 20), (1.2, 12, 20), (4, 20, 20)], 3.0),
    ],
)
def test_a_standstill_is_counted_from_when_something_waited(
    looks: list[tuple[float, int, int]], seconds: float | None
) -> None:
    """Struck at second 1."""
    assert stall_s(track(*looks), Span(1.0, 10.0)) == seconds


def test_what_was_there_at_a_moment_is_done_or_not() -> None:
    """What came later doesn't matter; a partition of which nothing is known has nothing to do."""
    made = track((0, 10, 10), (1, 10, 20), (3, 20, 30))
    assert made.done(2.0)
    assert not made.done(3.0)
    assert Track().done(0.0)


def test_the_slowest_partition_is_told() -> None:
    """With its name."""
    tracks = {IN: track((0, 1, 1), (1, 1, 9), (2, 9, 9)), NOTICE: track((0, 1, 1), (1, 1, 9), (6, 9, 9))}
    assert slowest(tracks, Span(1.0, 10.0)) == (5.0, NOTICE)
    assert slowest({}, Span(1.0, 10.0)) is None


def test_an_open_transaction_holds_up_readers_as_long_as_nothing_gets_stable() -> None:
    """Whoever goes on by and by is not held up; a gap in the looks ends what is known."""
    held = OpenTransactionMonitor()
    for moment, end, stable in (
        (0, 5, 5),
        (1, 6, 5),
        (2, 7, 5),
        (3, 8, 5),
        (4, 9, 8),
        (5, 9, 9),
        (6, 12, 9),
        (60, 12, 9),
    ):
        held.note(float(moment), NOTICE, end, stable)
    found = held.longest(0.0, 100.0)
    assert found is not None
    assert (found.begun_s, found.ended_s, found.partition) == (1.0, 3.0, NOTICE)
    assert held.longest(50.0, 100.0) is None


def test_what_was_open_when_somebody_was_struck_holds_readers_up_from_then_on() -> None:
    """A dead worker's transaction began before it died; what ended before says nothing."""
    held = OpenTransactionMonitor()
    for moment in range(8):
        held.note(float(moment), NOTICE, 10 + moment, 5 if moment < 7 else 17)
    found = held.longest(4.0, 100.0)
    assert found is not None
    assert (found.begun_s, found.ended_s) == (4.0, 6.0)
    assert held.longest(6.5, 100.0) is None
