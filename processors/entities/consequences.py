"""What follows by itself in a declared entity: when each consequence is due, and which keys it concerns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

from processors.entities.causes import Life, PersonCause, ResidencePeriod, age_reached_on
from processors.entities.timeline import Key, Timeline, Version
from schemas.declare import ByResidence, Cause, Consequence, Entity, Expires, Follows, FollowsEntity

_ONE_DAY: Final = timedelta(days=1)


class Due(NamedTuple):
    """A consequence due on a day: by a cause, by `key` of another entity, or because a field of `key` has `value`."""

    day: date
    rule: Consequence
    key: Key | None = None
    cause: PersonCause | None = None
    value: str | None = None


def known_from_the_beginning(entity: Entity, life: Life, others: Mapping[str, Timeline]) -> Iterator[Due]:
    """Yield the consequences that don't depend on the entity's own events."""
    for rule in entity.follows:
        if isinstance(rule, Follows):
            yield from _by_causes(rule, life)
        elif isinstance(rule, FollowsEntity):
            yield from _by_entity(rule, others)
        elif isinstance(rule, ByResidence):
            yield from _by_residence(rule, life)


def _by_causes(rule: Follows, life: Life) -> Iterator[Due]:
    for cause in life.causes:
        is_meant = cause.cause is rule.when and (rule.stays or not cause.cancelled_by)
        if is_meant and (cause.cause is not Cause.FACTS_CHANGED or cause.facts & rule.facts):
            yield Due(cause.day + timedelta(days=rule.after_days), rule, cause=cause)


def _by_entity(rule: FollowsEntity, others: Mapping[str, Timeline]) -> Iterator[Due]:
    other = others.get(rule.entity.id)
    index = rule.entity.field_names.index(rule.field)
    for key, versions in other.versions.items() if other is not None else ():
        for version in versions:
            if not version.open or version.values[index] in rule.values:
                yield Due(version.begins, rule, key)


def _by_residence(rule: ByResidence, life: Life) -> Iterator[Due]:
    before: ResidencePeriod | None = None
    for period in life.periods:
        if before is not None and period[1:3] == before[1:3]:
            continue  # Neither the municipality nor the birth date has changed.
        days = {period.begins, period.begins + timedelta(days=rule.closes_after_days)}
        if period.birth_date is not None:
            days.add(max(period.begins, age_reached_on(period.birth_date, rule.from_age)))
        yield from (Due(day, rule) for day in days)
        before = period


def expiries(entity: Entity, key: Key, version: Version) -> Iterator[Due]:
    """Yield the days on which an open version expires."""
    if not version.open:
        return
    for rule in entity.follows:
        if isinstance(rule, Expires):
            last = version.values[entity.field_names.index(rule.field)]
            if last is not None and date.fromisoformat(last) < date.max:
                yield Due(max(version.begins, date.fromisoformat(last) + _ONE_DAY), rule, key, value=last)


def concerns(due: Due, key: Key, values: Mapping[str, str | None], past: KeyPast, life: Life) -> bool:
    """Return whether a consequence is one for an open key with these values."""
    rule = due.rule
    if isinstance(rule, Expires):
        return key == due.key and values[rule.field] == due.value
    if isinstance(rule, FollowsEntity):
        return due.key == (values[rule.by],)
    if isinstance(rule, Follows) and due.cause is not None:
        is_meant = all(values[name] in meant for name, meant in rule.where.items())
        return is_meant and _still_follows(rule, due.day, due.cause, past, life)
    return False


class KeyPast(NamedTuple):
    """The day and the receipt of a key's last opening, and the last day of each of its events."""

    opened_on: date
    opened_by: str
    events: Mapping[str, date]


def _still_follows(rule: Follows, day: date, cause: PersonCause, past: KeyPast, life: Life) -> bool:
    """Return whether what was due by a cause is still so on its day."""
    if past.opened_on >= cause.day or (cause.cancelled_by and past.opened_by > cause.cancelled_by):
        return False
    if rule.unless is not None and past.events.get(rule.unless, date.min) >= cause.day:
        return False
    return not (rule.when is Cause.DEPARTED and life.is_registered_between(cause.day, day))
