"""What a municipality takes over of the fact of the municipality where the person was registered before."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from typing import NamedTuple

from processors.entities.causes import Life
from processors.entities.timeline import Key, Submission, Timeline, version_on
from schemas.declare import Entity, TakesOver

_ONE_DAY = timedelta(days=1)


class TakenOver(NamedTuple):
    """The submission with the values that it takes over, and the key from which it does."""

    submission: Submission
    key: Key


def taken_over(
    entity: Entity, rule: TakesOver, submission: Submission, life: Life, timeline: Timeline
) -> TakenOver | None:
    """Return what a submission takes over; None if there is nothing, or it is too late."""
    day = submission.effective_on
    move = life.move_before(day)
    if move is None or day > move.on + timedelta(days=rule.within_days):
        return None
    version = version_on(timeline.versions.get((move.origin,), ()), move.until)
    if version is None or not version.open:
        return None
    values = dict(zip(entity.field_names, submission.fields, strict=True))
    values |= {name: version.values[entity.positions[name]] for name in rule.fields}
    if rule.last_day is not None:
        values[rule.last_day] = last_day_of_months(day, rule.months).isoformat()
    return TakenOver(submission._replace(fields=tuple(values.values())), (move.origin,))


def last_day_of_months(first: date, months: int) -> date:
    """Return the last day of so many months: the day before the same day of the month, or the month's last day.

    Source: 民法第143条第2項.
    """
    years, month = divmod(first.month - 1 + months, 12)
    year, month = first.year + years, month + 1
    days = monthrange(year, month)[1]
    if first.day > days:
        return date(year, month, days)
    return date(year, month, first.day) - _ONE_DAY
