"""How long partitions stalled, computed from observed offsets. Pure; times are seconds of one monotonic clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streams.clients import Partition

#: Longest time between two observations of a partition that counts as continuous; after a longer gap nothing is known
#: about the time between them.
GAP_MAX_S: Final = 2.0


class ObservedOffset(NamedTuple):
    """An offset, valid from `at_s` until the next observation."""

    at_s: float
    offset: int


class BlockedInterval(NamedTuple):
    """A time in which an open transaction blocked readers of committed records in a partition."""

    begun_s: float
    ended_s: float
    partition: Partition


def append_change(observed: list[ObservedOffset], at_s: float, offset: int) -> None:
    """Append an observation to `observed` if its offset differs from the last one."""
    if not observed or observed[-1].offset != offset:
        observed.append(ObservedOffset(at_s, offset))


@dataclass
class Track:
    """Offsets of one partition over time; changes only.

    `committed` is the offset that the step committed, `record_ends` the offset after the last record that a reader of
    committed records received. The end of the partition itself is no measure: transaction markers and aborted records
    take offsets too, and no step commits beyond the last committed record because of them.
    """

    committed: list[ObservedOffset] = field(default_factory=list)
    record_ends: list[ObservedOffset] = field(default_factory=list)
    #: Start and end of each query of committed offsets; shared by the partitions that are queried together.
    queries: list[tuple[float, float]] = field(default_factory=list)

    def settled_offset(self, since_s: float) -> int | None:
        """Return the offset committed by the end of the first query that began at or after `since_s`.

        None if there was no such query. A commit of a worker that was killed at that moment is included; one of its
        successor isn't, because no worker takes over that fast.
        """
        index = bisect_left(self.queries, since_s, key=lambda query: query[0])
        return offset_at(self.committed, self.queries[index][1]) if index < len(self.queries) else None

    @property
    def remaining(self) -> int:
        """Number of offsets (records, and markers between them) that the step still has to process."""
        if not self.record_ends or not self.committed:
            return 0
        return max(0, self.record_ends[-1].offset - self.committed[-1].offset)

    def has_processed(self, until_s: float) -> bool:
        """Return whether every record that existed at `until_s` is processed by now."""
        return not self.committed or self.committed[-1].offset >= offset_at(self.record_ends, until_s)


def offset_at(observed: Sequence[ObservedOffset], moment_s: float) -> int:
    """Return the offset at `moment_s`; 0 if nothing was observed before."""
    index = bisect_right(observed, moment_s, key=lambda observation: observation.at_s)
    return observed[index - 1].offset if index else 0


def first_beyond(observed: Sequence[ObservedOffset], offset: int, since_s: float) -> float | None:
    """Return the first moment from `since_s` on at which an offset beyond `offset` was observed; None if never."""
    if offset_at(observed, since_s) > offset:
        return since_s
    return next(
        (
            observation.at_s
            for observation in observed
            if observation.at_s > since_s and observation.offset > offset
        ),
        None,
    )


class StallWindow(NamedTuple):
    """The time in which a stall is measured. Records that arrive after `until_s` and aren't processed yet don't count.

    `commit_in_flight`: the window begins with the injection of a fault, and a commit that was under way then may be
    observed shortly after.
    """

    since_s: float
    until_s: float
    commit_in_flight: bool = True


def stall_s(track: Track, window: StallWindow) -> float | None:
    """Return for how many seconds a partition was not processed although it had records, from the start of the window.

    None if no record waited before processing continued, infinite if it never continued.
    """
    base = (
        track.settled_offset(window.since_s)
        if window.commit_in_flight
        else offset_at(track.committed, window.since_s)
    )
    waiting_since_s = None if base is None else first_beyond(track.record_ends, base, window.since_s)
    if base is None or waiting_since_s is None:
        return None
    continued_s = first_beyond(track.committed, base, window.since_s)
    if continued_s is None:
        return float("inf") if waiting_since_s <= window.until_s else None
    return continued_s - waiting_since_s if continued_s >= waiting_since_s else None


def longest_stall(tracks: Mapping[Partition, Track], window: StallWindow) -> tuple[float, Partition] | None:
    """Return seconds and partition of the longest stall; None if no partition had a record to process."""
    stalls = [
        (seconds, partition)
        for partition, track in tracks.items()
        if (seconds := stall_s(track, window)) is not None
    ]
    return max(stalls, default=None)


@dataclass
class OpenTransactionMonitor:
    """Measures how long open transactions block readers of committed records."""

    intervals: list[BlockedInterval] = field(default_factory=list)
    #: By partition with an open transaction: first and last observation of its last stable offset, and that offset.
    _open: dict[Partition, tuple[float, float, int]] = field(default_factory=dict)

    def observe(self, at_s: float, partition: Partition, end: int, stable: int) -> None:
        """Record the end offset and the last stable offset of a partition, observed at `at_s`."""
        begun_s, last_s, stable_before = self._open.get(partition, (at_s, at_s, stable))
        if stable == stable_before and at_s - last_s <= GAP_MAX_S and end > stable:
            self._open[partition] = begun_s, at_s, stable
            return
        if last_s > begun_s:
            self.intervals.append(BlockedInterval(begun_s, last_s, partition))
        if end > stable:
            self._open[partition] = at_s, at_s, stable
        else:
            self._open.pop(partition, None)

    def longest(self, since_s: float, until_s: float) -> BlockedInterval | None:
        """Return the longest interval between two moments, cut at `since_s`; an interval that hasn't ended counts too.

        The cut is needed because a worker's open transaction began before the fault that hit the worker.
        """
        unfinished = [
            BlockedInterval(begun_s, last_s, partition)
            for partition, (begun_s, last_s, _) in self._open.items()
        ]
        within = [
            interval._replace(begun_s=max(interval.begun_s, since_s))
            for interval in (*self.intervals, *unfinished)
            if interval.begun_s <= until_s and interval.ended_s > max(interval.begun_s, since_s)
        ]
        return max(within, key=lambda interval: interval.ended_s - interval.begun_s, default=None)
