"""The rows of an entity's histories: what was known day by day, folded from what had been received until then.

Each day of receipt needs a fold. So a submission that is received after all others, which is nearly always so, needs
only two: of what was known before its day, and of what is known now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

from processors.entities.causes import NOTHING_KNOWN, Life
from processors.entities.derived import derived_timeline
from processors.entities.entity_fold import fold
from processors.entities.history_rows import Extension, KnownTimeline, extended_rows, history_rows
from processors.entities.rows import BY_LIFE, ENTITIES, PreparedReading, Row, RowContext, RowId
from processors.entities.timeline import Submission, Timeline, next_day
from processors.fan_out.history import Receipt, first_receipt_at, received_on
from processors.fan_out.person import KnownLife
from processors.japan import first_ms_of

_ONE_DAY: Final = timedelta(days=1)


class HistoryRows(NamedTuple):
    """The rows of an entity's histories; of those in `unchanged` only that they are as they were sent.

    `next_on` is the next day on which anything that was known changes by itself.
    """

    rows: Mapping[RowId, Row] = {}
    unchanged: Collection[RowId] = ()
    next_on: date | None = None


NO_HISTORY: Final = HistoryRows()


class Added(NamedTuple):
    """A submission that is all that is new of a person.

    `planned` are the next days of the person's entities, as before it. `life` is the person's life; `life_until` is the
    latest day on which something that it follows from is known, None if that isn't known.
    """

    received: Receipt
    planned: Mapping[str, date | None]
    life: Life
    life_until: date | None


class Known(NamedTuple):
    """What was known of a person: `lives` reads the lives, day by day.

    `added` is what is new, if only that is. `only_day` is the day on which all that the life follows from was received,
    None if that isn't one day.
    """

    lives: Callable[[], Sequence[KnownLife]]
    added: Added | None = None
    only_day: date | None = None


class EntityKnowledge(NamedTuple):
    """An entity of a person, with its histories.

    `received` are its submissions and those of the entities that it follows, in the order of dependency. `timeline` is
    the one of now, `sent` are the rows sent.
    """

    entity: str
    readings: Sequence[PreparedReading]
    received: Mapping[str, Sequence[Submission]]
    timeline: Timeline
    sent: Collection[RowId]
    context: RowContext


def folded(
    entity_id: str, submissions: Iterable[Submission], life: Life, others: Mapping[str, Timeline]
) -> Timeline:
    """Return the timeline of an entity, by its id; `others` are those of the entities that it follows."""
    entity = ENTITIES[entity_id]
    return derived_timeline(entity_id, life) if entity.is_derived else fold(entity, submissions, life, others)


def rows_of_histories(of_entity: EntityKnowledge, known: Known) -> HistoryRows:
    """Return the rows of the histories of an entity."""
    extended = None if known.added is None else _extended(of_entity, known.added)
    if extended is not None:
        return extended
    context = of_entity.context
    if known.only_day is not None and not any(of_entity.received.values()):
        timelines = [KnownTimeline(known.only_day, of_entity.timeline)]
    else:
        lives = () if BY_LIFE.isdisjoint(of_entity.received) else known.lives()
        timelines = _known_timelines(of_entity, lives)
    rows = history_rows(timelines, of_entity.readings, context.day, ever_protected=context.ever_protected)
    return HistoryRows(dict(rows), (), next_day(context.day, [each.timeline for each in timelines]))


def _known_timelines(of_entity: EntityKnowledge, lives: Sequence[KnownLife]) -> list[KnownTimeline]:
    """Return what was known at the end of each day since which another thing may have been known."""
    received = {
        id_: [(received_on(each.received), each) for each in submissions]
        for id_, submissions in of_entity.received.items()
    }
    days = sorted({day for each in received.values() for day, _ in each} | {day for day, _ in lives})
    known: list[KnownTimeline] = []
    for day in days[:-1]:
        life = next((known.life for known in reversed(lives) if known.day <= day), NOTHING_KNOWN)
        timelines: dict[str, Timeline] = {}
        for id_, submissions in received.items():
            until_then = [each for received_on, each in submissions if received_on <= day]
            timelines[id_] = folded(id_, until_then, life, timelines)
        known.append(KnownTimeline(day, timelines[of_entity.entity]))
    # On the last of the days all was known that is known now.
    return [*known, *(KnownTimeline(day, of_entity.timeline) for day in days[-1:])]


def _extended(of_entity: EntityKnowledge, added: Added) -> HistoryRows | None:
    """Return the rows after a submission received on a day after which nothing is known; None if that isn't so."""
    day, planned = received_on(added.received), added.planned.get(of_entity.entity)
    begins, ends = first_receipt_at(first_ms_of(day)), first_receipt_at(first_ms_of(day + _ONE_DAY))
    is_due = planned is not None and planned <= of_entity.context.day
    if is_due or added.life_until is None or added.life_until >= day:
        return None
    before: dict[str, Timeline] = {}
    of_day = 0
    for id_, submissions in of_entity.received.items():
        if any(each.received >= ends for each in submissions):
            return None
        earlier = [each for each in submissions if each.received < begins]
        of_day += len(submissions) - len(earlier)
        before[id_] = folded(id_, earlier, added.life, before)
    return _rows_of_day(of_entity, before[of_entity.entity], day, planned, is_first=of_day == 1)


def _rows_of_day(
    of_entity: EntityKnowledge, before: Timeline, since: date, planned: date | None, *, is_first: bool
) -> HistoryRows | None:
    """Return the rows if `before` was known until a day; `is_first` is whether nothing else was received on it."""
    context, after = of_entity.context, of_entity.timeline
    if not is_first and planned is not None and planned not in {*before.days(), *after.days()}:
        return None  # It may be a day of what was known earlier on this day, and isn't any more.
    extended = extended_rows(
        of_entity.sent,
        Extension(before, KnownTimeline(since, after)),
        of_entity.readings,
        context.day,
        ever_protected=context.ever_protected,
    )
    if extended is None:
        return None
    days = [each for each in (planned, next_day(context.day, [before, after])) if each is not None]
    return HistoryRows(extended.rows, extended.unchanged, min(days, default=None))
