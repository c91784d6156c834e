"""A person's life as declared entities follow from it: periods of the confirmed registration, and what happens between.

The fold adds to the periods day by day. Cancelled notices are in no period: a consequence may stay nevertheless, so
they are causes too, with the receipt of their cancellation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from processors.entities.causes import Life, PersonCause, ResidencePeriod
from processors.fan_out.effective_order import destination
from processors.fan_out.history import (
    Cancellations,
    Facts,
    PersonNotice,
    changed_facts,
    merge,
    received_on,
)
from processors.fan_out.person_state import ABROAD_CODE, LifePeriod, PersonState
from schemas.declare import Cause
from schemas.reasons import Reason

_NO_FACTS: Final = Facts()


def life_after(state: PersonState) -> tuple[LifePeriod, ...]:
    """Return the periods after the latest day of a state; the same object if that day changes nothing."""
    day, periods = state.last_day, state.life
    if day is None:
        return periods
    is_abroad = state.confirmed is None and bool(state.ends) and state.ends[-1].destination == ABROAD_CODE
    period = LifePeriod(day, state.confirmed, state.facts, state.dead, is_abroad)
    if not periods:
        return (period,)
    if periods[-1][1:] == period[1:]:
        return periods
    earlier = periods[:-1] if periods[-1].begins == day else periods
    if earlier and earlier[-1][1:] == period[1:]:
        return earlier
    return (*earlier, period)


def life_of(
    periods: Sequence[LifePeriod], cancelled: Iterable[PersonNotice], cancellations: Cancellations
) -> Life:
    """Return the life of a person from its periods and from the cancelled notices.

    A notice that was cancelled before its day never was in effect, so nothing followed from it.
    """
    causes = [cause for before, after in _pairs(periods) for cause in _causes(before, after)]
    causes += [
        cause
        for notice in cancelled
        if received_on(cancellations[notice.id]) >= notice.effective_on
        for cause in _cancelled_causes(notice, cancellations[notice.id], periods)
    ]
    return Life(causes, [_residence(period) for period in periods])


def residence_of(periods: Sequence[LifePeriod]) -> Life:
    """Return the residence alone, without causes and without the values of a resident."""
    return Life(
        (),
        [
            ResidencePeriod(begins, municipality, facts.birth_date if facts is not None else None, dead)
            for begins, municipality, facts, dead, _ in periods
        ],
    )


def _residence(period: LifePeriod) -> ResidencePeriod:
    facts = period.facts or _NO_FACTS
    birth_date = None if facts.birth_date is None else facts.birth_date.isoformat()
    # In the order of the fields of a resident; conversion makes the romanization of the reading.
    values = (
        facts.name,
        facts.kana,
        facts.kana,
        birth_date,
        facts.sex,
        facts.address,
        facts.household,
        facts.relationship,
    )
    return ResidencePeriod(period.begins, period.municipality, facts.birth_date, period.dead, values)


def _pairs(periods: Sequence[LifePeriod]) -> Iterator[tuple[LifePeriod | None, LifePeriod]]:
    yield from zip((None, *periods), periods, strict=False)


def _causes(before: LifePeriod | None, after: LifePeriod) -> Iterator[PersonCause]:
    was_in = before.municipality if before is not None else None
    if after.municipality is not None and after.municipality != was_in:
        yield PersonCause(after.begins, Cause.REGISTERED)
    if before is None:
        return
    changed = _changed(before.facts, after.facts)
    if changed:
        yield PersonCause(after.begins, Cause.FACTS_CHANGED, changed)
    if after.dead and not before.dead:
        yield PersonCause(after.begins, Cause.DIED)
    elif after.abroad and not before.abroad:
        yield PersonCause(after.begins, Cause.MOVED_ABROAD)
    elif after.municipality is None and was_in is not None:
        yield PersonCause(after.begins, Cause.DEPARTED)
    if was_in is not None and after.municipality != was_in:
        yield PersonCause(after.begins, Cause.LEFT, left=was_in)


def _changed(before: Facts | None, after: Facts | None) -> frozenset[str]:
    if before is None or after is None or before is after:
        return frozenset()
    pairs = zip(Facts._fields, before, after, strict=True)
    return frozenset(name for name, old, new in pairs if old != new)


def _cancelled_causes(notice: PersonNotice, by: str, periods: Sequence[LifePeriod]) -> Iterator[PersonCause]:
    """Yield what a cancelled notice would have caused, if its municipality's registration was the confirmed one."""
    on_the_day = [each for each in periods if each.begins <= notice.effective_on][-1:]
    before = [each for each in periods if each.begins < notice.effective_on][-1:]
    if notice.municipality not in [period.municipality for period in (*before, *on_the_day)]:
        return
    if notice.reason is Reason.DIED:
        yield PersonCause(notice.effective_on, Cause.DIED, cancelled_by=by)
    elif notice.reason is Reason.MOVED_ABROAD or destination(notice) == ABROAD_CODE:
        yield PersonCause(notice.effective_on, Cause.MOVED_ABROAD, cancelled_by=by)
    elif notice.reason is Reason.MOVED_OUT:
        yield PersonCause(notice.effective_on, Cause.DEPARTED, cancelled_by=by)
    known = before[0].facts if before else None
    if known is not None:
        facts = _changed(known, merge(known, changed_facts(notice.reason, notice.facts)))
        if facts:
            yield PersonCause(notice.effective_on, Cause.FACTS_CHANGED, facts, by)
