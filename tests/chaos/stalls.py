"""How long partitions stood still, from what was seen of their offsets. Pure: times are seconds of one clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streams.clients import Partition

#: Between two looks at an end; after a longer gap nobody knows what was in between.
GAP_MAX_S: Final = 2.0


class Seen(NamedTuple):
    """What an offset was from a moment on."""

    at_s: float
    offset: int


class Stall(NamedTuple):
    """From `begun_s` to `ended_s` readers of committed records could not go on in a partition, as one was open."""

    begun_s: float
    ended_s: float
    partition: Partition


def note(kept: list[Seen], at_s: float, offset: int) -> None:
    """Keeps what was seen, where it is another than before."""
    if not kept or kept[-1].offset != offset:
        kept.append(Seen(at_s, offset))


@dataclass
class Track:
    """Offsets of one partition as its step committed them, and those after the last record there was; changes only.

    Markers of transactions and aborted records take offsets, and nobody commits past them: `records` are those that a
    reader of committed records was given.
    """

    committed: list[Seen] = field(default_factory=list)
    records: list[Seen] = field(default_factory=list)
    #: When each look at what was committed began and ended; shared by those that are looked at together.
    looks: list[tuple[float, float]] = field(default_factory=list)

    def settled(self, since_s: float) -> int | None:
        """What was committed by the end of the first look that began at that moment or later; None: there was none.

        A commit of somebody who was killed at that moment is in it, as nobody's comes so soon after.
        """
        index = bisect_left(self.looks, since_s, key=lambda look: look[0])
        return at(self.committed, self.looks[index][1]) if index < len(self.looks) else None

    @property
    def left(self) -> int:
        """Records (and markers between them) that are still to be done now."""
        return (
            max(0, self.records[-1].offset - self.committed[-1].offset)
            if self.records and self.committed
            else 0
        )

    def done(self, since_s: float) -> bool:
        """Whether all that was there at that moment is done by now."""
        return not self.committed or self.committed[-1].offset >= at(self.records, since_s)


def at(kept: Sequence[Seen], moment_s: float) -> int:
    """The offset as it was then; 0 where nothing was seen before."""
    index = bisect_right(kept, moment_s, key=lambda seen: seen.at_s)
    return kept[index - 1].offset if index else 0


def first_beyond(kept: Sequence[Seen], offset: int, since_s: float) -> float | None:
    """When it was first seen beyond `offset`, from `since_s` on; None: never."""
    if at(kept, since_s) > offset:
        return since_s
    return next((seen.at_s for seen in kept if seen.at_s > since_s and seen.offset > offset), None)


class Span(NamedTuple):
    """The time in which a standstill is looked for. What comes after `judged_s` and isn't done yet says nothing.

    `struck`: it begins with somebody's end, whose last commit may be seen a little later.
    """

    since_s: float
    judged_s: float
    struck: bool = True


def stall_s(track: Track, span: Span) -> float | None:
    """Seconds that a partition stood still from `since_s` on, as far as anything was there to be read.

    None where nothing came before it went on, or nothing came at all; infinite where it never went on.
    """
    base = track.settled(span.since_s) if span.struck else at(track.committed, span.since_s)
    waiting_s = None if base is None else first_beyond(track.records, base, span.since_s)
    if base is None or waiting_s is None:
        return None
    went_s = first_beyond(track.committed, base, span.since_s)
    if went_s is None:
        return float("inf") if waiting_s <= span.judged_s else None
    return went_s - waiting_s if went_s >= waiting_s else None


def slowest(tracks: Mapping[Partition, Track], span: Span) -> tuple[float, Partition] | None:
    """The partition that stood still longest, and how long; None where none of them had anything to do."""
    found = [
        (seconds, partition)
        for partition, track in tracks.items()
        if (seconds := stall_s(track, span)) is not None
    ]
    return max(found, default=None)


@dataclass
class OpenTransactionMonitor:
    """Watches for open transactions that hold up readers of committed records."""

    standstills: list[Stall] = field(default_factory=list)
    _since: dict[Partition, tuple[float, float, int]] = field(default_factory=dict)

    def note(self, at_s: float, partition: Partition, end: int, stable: int) -> None:
        """The end of a partition, and the last stable offset, as seen now."""
        begun_s, last_s, before = self._since.get(partition, (at_s, at_s, stable))
        if stable == before and at_s - last_s <= GAP_MAX_S and end > stable:
            self._since[partition] = begun_s, at_s, stable
            return
        if last_s > begun_s:
            self.standstills.append(Stall(begun_s, last_s, partition))
        if end > stable:
            self._since[partition] = at_s, at_s, stable
        else:
            self._since.pop(partition, None)

    def longest(self, since_s: float, until_s: float) -> Stall | None:
        """The longest standstill of this time, from `since_s` on where it began before; one not over yet is included.

        What a worker had open when it was struck began before that.
        """
        open_ones = [Stall(begun, last, at) for at, (begun, last, _) in self._since.items()]
        within = [
            each._replace(begun_s=max(each.begun_s, since_s))
            for each in (*self.standstills, *open_ones)
            if each.begun_s <= until_s and each.ended_s > max(each.begun_s, since_s)
        ]
        return max(within, key=lambda each: each.ended_s - each.begun_s, default=None)
