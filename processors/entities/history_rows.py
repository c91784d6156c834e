"""The rows of a history: what held in each period, as it was known in each period.

They depend on what was received and on the day alone: not on the order of arrival, nor on the rows of before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from itertools import zip_longest
from typing import NamedTuple

from processors.entities.rows import ACTIVE, CLOSED, PreparedReading, Row, RowId, row_id
from processors.entities.timeline import Key, Timeline, Version


class KnownTimeline(NamedTuple):
    """The timeline of an entity as known at the end of a day, from what had been received until then."""

    day: date
    timeline: Timeline


class _Segment(NamedTuple):
    """What a domain sees of a key until `ends`, exclusive; None if it is in force or ends in the future."""

    ends: date | None
    status: str
    columns: tuple[str | None, ...]


#: A key of the entity, and the first day of a segment.
_SegmentId = tuple[Key, date]


def history_rows(
    known: Sequence[KnownTimeline], readings: Sequence[PreparedReading], day: date, *, ever_protected: bool
) -> Iterator[tuple[RowId, Row]]:
    """Yield the rows of the histories of an entity on a day, reading by reading.

    `known` has a timeline for each day on which what is known may have become another, the earliest first. A row is
    known from the day on which its segment appears or becomes another to the day on which it does so again, or
    disappears. Columns that point to the person's place are null in rows of closed versions, and in all rows of a
    person who is or was protected.
    """
    if len(known) == 1:  # So it is for most.
        known_from, timeline = known[0]
        for reading in readings:
            for id_, segment in _segments(reading, timeline, day, ever_protected=ever_protected):
                yield _row(reading, id_, segment, known_from, None)
        return
    for reading in readings:
        yield from _rows_by_day(known, reading, day, ever_protected=ever_protected)


def _rows_by_day(
    known: Sequence[KnownTimeline], reading: PreparedReading, day: date, *, ever_protected: bool
) -> Iterator[tuple[RowId, Row]]:
    since: dict[_SegmentId, tuple[date, _Segment]] = {}
    for known_on, timeline in known:
        segments = dict(_segments(reading, timeline, day, ever_protected=ever_protected))
        for id_, (known_from, segment) in list(since.items()):
            if segments.get(id_) != segment:
                yield _row(reading, id_, segment, known_from, known_on)
                del since[id_]
        for id_, segment in segments.items():
            since.setdefault(id_, (known_on, segment))
    for id_, (known_from, segment) in since.items():
        yield _row(reading, id_, segment, known_from, None)


class Extension(NamedTuple):
    """What is known from a day on, and what was known up to that day."""

    before: Timeline
    after: KnownTimeline


class ExtendedRows(NamedTuple):
    """The rows of histories that may differ from those sent, and the ids of those that don't."""

    rows: dict[RowId, Row]
    unchanged: list[RowId]


def extended_rows(
    sent: Collection[RowId],
    known: Extension,
    readings: Sequence[PreparedReading],
    day: date,
    *,
    ever_protected: bool,
) -> ExtendedRows | None:
    """Return what `history_rows` would return, if only what is known from one day on has become another.

    `sent` are the ids of all rows sent. Return None if a row of what was known before wasn't sent: then all rows must
    be made again.
    """
    before, after = known
    names, since = {reading.history for reading in readings}, after.day.isoformat()
    earlier = [id_ for id_ in sent if id_.reading in names and id_.key[-1] < since]
    known_from: dict[tuple[str, str | None, tuple[str, ...]], str] = {}
    for id_ in earlier:
        segment_of = (id_.reading, id_.part, id_.key[:-1])
        known_from[segment_of] = max(id_.key[-1], known_from.get(segment_of, ""))
    rows: dict[RowId, Row] = {}
    for reading in readings:
        old = dict(_segments(reading, before, day, ever_protected=ever_protected))
        new = dict(_segments(reading, after.timeline, day, ever_protected=ever_protected))
        for segment_id, segment in old.items():
            of_reading = row_id(reading, segment_id[0])
            key = (*of_reading.key, segment_id[1].isoformat())
            first = known_from.get((reading.history, of_reading.part, key))
            if first is None:
                return None
            known_to = None if new.get(segment_id) == segment else after.day
            row_of = _row(reading, segment_id, segment, date.fromisoformat(first), known_to)
            rows[row_of[0]] = row_of[1]
        for segment_id, segment in new.items():
            if old.get(segment_id) != segment:
                row_of = _row(reading, segment_id, segment, after.day, None)
                rows[row_of[0]] = row_of[1]
    return ExtendedRows(rows, [id_ for id_ in earlier if id_ not in rows])


def _segments(
    reading: PreparedReading, timeline: Timeline, day: date, *, ever_protected: bool
) -> Iterator[tuple[_SegmentId, _Segment]]:
    """Yield the periods that have begun by a day, in which the reading's row of a key looks the same."""
    for key, versions in timeline.versions.items():
        periods: list[tuple[date, str, tuple[str | None, ...]]] = []
        for version in versions:
            if version.begins > day:
                break
            status, columns = _visible(reading, version, ever_protected=ever_protected)
            if not periods or periods[-1][1:] != (status, columns):
                periods.append((version.begins, status, columns))
        for (begins, status, columns), after in zip_longest(periods, periods[1:]):
            yield (key, begins), _Segment(None if after is None else after[0], status, columns)


def _visible(
    reading: PreparedReading, version: Version, *, ever_protected: bool
) -> tuple[str, tuple[str | None, ...]]:
    columns = reading.visible(version, is_hidden=ever_protected or not version.open)
    return ACTIVE if version.open else CLOSED, columns


def _row(
    reading: PreparedReading, id_: _SegmentId, segment: _Segment, known_from: date, known_to: date | None
) -> tuple[RowId, Row]:
    """Return a row with its columns in the order of `history_of`: the key, the values, and the last days."""
    (key, begins), (ends, status, columns) = id_, segment
    of_reading = row_id(reading, key)
    row_key = (*of_reading.key, begins.isoformat(), known_from.isoformat())
    last_days = (_text(ends), _text(known_to))
    row = Row(status, begins, (*row_key, *columns[len(of_reading.key) :], *last_days))
    return RowId(of_reading.domain, reading.history, of_reading.part, row_key), row


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
