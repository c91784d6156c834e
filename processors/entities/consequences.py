"""What follows by itself in a declared entity: when each consequence is due, and which keys it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import zip_longest
from typing import Final, NamedTuple

from processors.entities.causes import Life, PersonCause, ResidencePeriod, age_reached_on
from processors.entities.timeline import Key, Timeline, Version, version_on
from schemas.declare import PART, ByResidence, Cause, Consequence, Entity, Expires, Follows, FollowsEntity

_ONE_DAY: Final = timedelta(days=1)


class Due(NamedTuple):
    """A consequence due on a day: by a cause, by `key` of another entity, or because a field of `key` has `value`.

    What follows from another entity concerns all keys that name it, or `only` one of them.
    """

    day: date
    rule: Consequence
    key: Key | None = None
    cause: PersonCause | None = None
    value: str | None = None
    only: Key | None = None


def known_from_the_beginning(entity: Entity, life: Life, others: Mapping[str, Timeline]) -> Iterator[Due]:
    """Yield the consequences that don't depend on the entity's own events.

    A rule counts if it is in force on the day of the cause, or on which the other entity changes.
    """
    for rule in entity.all_follows:
        if isinstance(rule, Follows):
            yield from (
                due for due in _by_causes(rule, life) if due.cause and _counts(entity, rule, due.cause.day)
            )
        elif isinstance(rule, FollowsEntity):
            yield from (due for due in _by_entity(rule, others) if _counts(entity, rule, due.day))
    if entity.by_residence is not None:
        yield from by_residence(entity, life)


def _counts(entity: Entity, rule: Consequence, day: date) -> bool:
    return len(entity.rules) == 1 or rule in entity.rules_on(day).follows


def of_age_on(entity: Entity, birth_date: date) -> date:
    """Return the first day on which a person is old enough for an entity that opens by residence.

    Who has reached the age by the rules of a day stays old enough, whatever the rules of later days.
    """
    if len(entity.rules) == 1:
        return age_reached_on(birth_date, entity.by_residence.from_age if entity.by_residence else 0)
    for rules, after in zip_longest(entity.rules, entity.rules[1:]):
        rule = rules.by_residence
        day = max(rules.first_day, age_reached_on(birth_date, rule.from_age if rule else 0))
        if after is None or day < after.first_day:
            return day
    return date.max


def _by_causes(rule: Follows, life: Life) -> Iterator[Due]:
    for cause in life.causes:
        is_meant = cause.cause is rule.when and (rule.stays or not cause.cancelled_by)
        if is_meant and (cause.cause is not Cause.FACTS_CHANGED or cause.facts & rule.facts):
            yield Due(cause.day + timedelta(days=rule.after_days), rule, cause=cause)


def _by_entity(rule: FollowsEntity, others: Mapping[str, Timeline]) -> Iterator[Due]:
    other = others.get(rule.entity.id)
    for key, versions in other.versions.items() if other is not None else ():
        yield from (Due(version.begins, rule, key) for version in versions if _has_ended(rule, version))


def _has_ended(rule: FollowsEntity, version: Version) -> bool:
    return not version.open or version.values[rule.entity.positions[rule.field]] in rule.values


def by_residence(entity: Entity, life: Life) -> Iterator[Due]:
    """Yield what is due on the days on which the residence may open or close the entity."""
    rules = [rule for rule in entity.all_follows if isinstance(rule, ByResidence)]
    yield from residence_dues(entity, days_of_moves(entity, life, rules))
    yield from residence_dues(entity, (each.first_day for each in entity.rules[1:]))


def days_of_moves(entity: Entity, life: Life, rules: Iterable[ByResidence]) -> list[date]:
    """Return the days, in order, on which the residence may open or close the entity by these rules."""
    days: set[date] = set()
    before: ResidencePeriod | None = None
    for period in life.periods:
        if before is not None and period[1:3] == before[1:3]:
            continue  # Neither the municipality nor the birth date has changed.
        days.add(period.begins)
        days.update(period.begins + timedelta(days=rule.closes_after_days) for rule in rules)
        if period.birth_date is not None:
            days.add(max(period.begins, of_age_on(entity, period.birth_date)))
        before = period
    return sorted(days)


def residence_dues(entity: Entity, days: Iterable[date]) -> Iterator[Due]:
    """Yield that an entity is to be open where the person is registered on these days, by the rules of each day."""
    only = entity.by_residence if len(entity.rules) == 1 else None
    if only is None and len(entity.rules) == 1:
        return
    for day in days:
        rule = only or entity.rules_on(day).by_residence
        if rule is not None:
            yield Due(day, rule)


def expiries(entity: Entity, key: Key, version: Version) -> Iterator[Due]:
    """Yield the days on which an open version expires."""
    for rule in entity.expires if version.open else ():
        last = version.values[entity.positions[rule.field]]
        if last is not None and date.fromisoformat(last) < date.max:
            day = max(version.begins, date.fromisoformat(last) + _ONE_DAY)
            if _counts(entity, rule, day):
                yield Due(day, rule, key, value=last)


def by_named_entity(
    entity: Entity, key: Key, version: Version, before: Version | None, others: Mapping[str, Timeline]
) -> Iterator[Due]:
    """Yield what follows at once if a version begins to name the key of another entity that has ended already."""
    for rule in entity.follows_entities if version.open else ():
        position, other = entity.positions[rule.by], others.get(rule.entity.id)
        named = version.values[position]
        if other is None or named is None or (before and before.open and before.values[position] == named):
            continue
        found = version_on(other.versions.get((named,), ()), version.begins)
        if found is not None and _has_ended(rule, found) and _counts(entity, rule, version.begins):
            yield Due(version.begins, rule, (named,), only=key)


def concerns(due: Due, key: Key, values: Mapping[str, str | None], past: KeyPast, life: Life) -> bool:
    """Return whether a consequence is one for an open key; `values` are its fields and, if it has one, PART."""
    rule = due.rule
    if isinstance(rule, Expires):
        return key == due.key and values[rule.field] == due.value
    if isinstance(rule, FollowsEntity):
        return due.key == (values[rule.by],) and due.only in (None, key)
    if isinstance(rule, Follows) and due.cause is not None:
        is_meant = all(values[name] in meant for name, meant in rule.where.items())
        if rule.when is Cause.LEFT:
            is_meant = is_meant and values[PART] == due.cause.left
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
