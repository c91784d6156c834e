"""How long a partition stalled, from constructed observations of its offsets."""

from __future__ import annotations

import math

import pytest

from tests.chaos.stalls import (
    OpenTransactionMonitor,
    StallWindow,
    Track,
    append_change,
    longest_stall,
    offset_at,
    stall_s,
)

INPUT = ("in.juki.131041", 0)
NOTICE = ("notice", 0)


def track_of(*observations: tuple[float, int | None, int | None]) -> Track:
    """Return a track from observations: moment, committed offset, and end of the records; None if not observed."""
    track = Track()
    for moment, committed, record_end in observations:
        for observed, offset in ((track.committed, committed), (track.record_ends, record_end)):
            if offset is not None:
                append_change(observed, moment, offset)
        track.queries.append((moment, moment))
    return track


def test_a_track_has_changes_only_and_returns_the_offset_of_any_moment() -> None:
    """An offset that was not observed is unchanged."""
    track = track_of((0, 5, 5), (1, 5, 9), (2, None, None), (3, 9, 9))
    assert (len(track.committed), len(track.record_ends)) == (2, 2)
    assert [offset_at(track.committed, moment) for moment in (-1, 0, 2.9, 3)] == [0, 5, 5, 9]
    assert track.remaining == 0


@pytest.mark.parametrize(
    ("observations", "seconds"),
    [
        # Records wait from the fault on, and are processed after 2 s.
        ([(0, 10, 10), (1, 10, 20), (3, 20, 20)], 2.0),
        # Records arrive 4 s after the fault, and are processed 1 s later.
        ([(0, 10, 10), (5, 10, 20), (6, 20, 20)], 1.0),
        # No records arrive.
        ([(0, 10, 10), (9, 10, 10)], None),
        # Records arrive and are never processed.
        ([(0, 10, 10), (2, 10, 20)], math.inf),
        # Records arrive after the window, and are not processed yet.
        ([(0, 10, 10), (11, 10, 20)], None),
        # A commit observed just after the fault was under way before it: the next one counts.
        ([(0, 10, 20), (1.2, 12, 20), (4, 20, 20)], 3.0),
    ],
)
def test_a_stall_begins_when_records_wait(
    observations: list[tuple[float, int, int]], seconds: float | None
) -> None:
    """The fault is injected at second 1."""
    assert stall_s(track_of(*observations), StallWindow(1.0, 10.0)) == seconds


def test_a_partition_has_processed_the_records_of_a_moment_or_not() -> None:
    """Later records don't matter; a partition without observations has nothing to process."""
    track = track_of((0, 10, 10), (1, 10, 20), (3, 20, 30))
    assert track.has_processed(2.0)
    assert not track.has_processed(3.0)
    assert Track().has_processed(0.0)


def test_the_longest_stall_is_returned_with_its_partition() -> None:
    """Without partitions there is none."""
    tracks = {
        INPUT: track_of((0, 1, 1), (1, 1, 9), (2, 9, 9)),
        NOTICE: track_of((0, 1, 1), (1, 1, 9), (6, 9, 9)),
    }
    assert longest_stall(tracks, StallWindow(1.0, 10.0)) == (5.0, NOTICE)
    assert longest_stall({}, StallWindow(1.0, 10.0)) is None


def test_an_open_transaction_blocks_readers_while_the_stable_offset_does_not_advance() -> None:
    """A reader that advances slowly is not blocked; a gap in the observations ends an interval."""
    monitor = OpenTransactionMonitor()
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
        monitor.observe(float(moment), NOTICE, end, stable)
    interval = monitor.longest(0.0, 100.0)
    assert interval is not None
    assert (interval.begun_s, interval.ended_s, interval.partition) == (1.0, 3.0, NOTICE)
    assert monitor.longest(50.0, 100.0) is None


def test_a_transaction_that_was_open_at_a_fault_blocks_readers_from_the_fault_on() -> None:
    """`longest` counts a blocked interval from the fault on, even if the transaction began before the fault."""
    monitor = OpenTransactionMonitor()
    for moment in range(8):
        monitor.observe(float(moment), NOTICE, 10 + moment, 5 if moment < 7 else 17)
    interval = monitor.longest(4.0, 100.0)
    assert interval is not None
    assert (interval.begun_s, interval.ended_s) == (4.0, 6.0)
    assert monitor.longest(6.5, 100.0) is None
