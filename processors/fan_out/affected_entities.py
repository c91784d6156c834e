"""Which declared entities of a person a change of the person's state may affect, and which open only by age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final

from processors.entities.consequences import of_age_on
from processors.entities.rows import (
    BY_RESIDENCE,
    BY_RESIDENCE_ALONE,
    DERIVED_COVERED_BY,
    ENTITIES,
    HISTORIES,
    HISTORIES_BY_LIFE,
    IS_ACCOUNT_READ,
    READ_OF_ACCOUNT,
    READ_OF_ENROLLED,
    READ_OF_EVERYBODY,
)
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_state import LifePeriod, PersonState


def is_seen_by_entities(before: PersonState, after: PersonState) -> bool:
    """Return whether anything differs on which the rows of declared entities depend, beside the rows of domains."""
    return before.life != after.life or _protection_differs(before, after)


def _protection_differs(before: PersonState, after: PersonState) -> bool:
    """Return whether places are withheld that weren't, or the reverse, or since another day."""
    return (
        before.protected != after.protected
        or before.ever_protected != after.ever_protected
        or before.protections != after.protections
    )


def affected_entities(
    before: PersonState, after: PersonState, entities: Sequence[str], *, is_last: bool
) -> Sequence[str]:
    """Return those of the entities that may differ, as what they depend on does.

    `is_last` is whether the person's life is another one on the latest day only, and wasn't known before.
    """
    if not before.life or _protection_differs(before, after):
        return entities
    if _residence(before.life) != _residence(after.life):
        return entities
    return [id_ for id_ in entities if id_ not in BY_RESIDENCE_ALONE or (HISTORIES[id_] and not is_last)]


def affected_beside_life(before: PersonState, person: PersonAggregate, *, is_late: bool) -> list[str]:
    """Return the entities that may differ although the person's life is as before.

    `is_late` is whether another life may have been known meanwhile.
    """
    after, wanted = person.state, list[str]()
    if READ_OF_ENROLLED and before.rows != after.rows:
        wanted += READ_OF_ENROLLED
    if IS_ACCOUNT_READ and before.ledger != after.ledger:
        wanted += [id_ for id_ in entities_of(person) if id_ in READ_OF_ACCOUNT and id_ not in wanted]
    if is_late:
        entities = entities_of(person)
        wanted += [id_ for id_ in HISTORIES_BY_LIFE if id_ in entities and id_ not in wanted]
    return wanted


def _residence(life: Sequence[LifePeriod]) -> list[tuple[date, str | None, date | None]]:
    """Return the periods of a life by municipality and birth date alone, each with its first day."""
    periods: list[tuple[date, str | None, date | None]] = []
    for period in life:
        birth_date = period.facts.birth_date if period.facts is not None else None
        if not periods or periods[-1][1:] != (period.municipality, birth_date):
            periods.append((period.begins, period.municipality, birth_date))
    return periods


def opens_by_age_on(entity: str, life: Sequence[LifePeriod]) -> date | None:
    """Return the day on which the person reaches the age at which an entity opens by residence.

    None if it doesn't, or if the birth date isn't known or was another one before.
    """
    if ENTITIES[entity].by_residence is None or not life:
        return None
    if len(life) == 1:
        birth_date = life[0].facts.birth_date if life[0].facts is not None else None
    else:
        births = {period.facts.birth_date for period in life if period.facts is not None}
        birth_date = births.pop() if len(births) == 1 else None
    return None if birth_date is None else of_age_on(ENTITIES[entity], birth_date)


def entities_of(person: PersonAggregate) -> Sequence[str]:
    """Return the declared entities of which a person can have rows."""
    return _entities_beside(tuple(person.entities)) if person.entities else _ALWAYS_THERE


#: The declared entities of which every person can have rows.
_ALWAYS_THERE: Final = tuple(dict.fromkeys((*BY_RESIDENCE, *READ_OF_EVERYBODY)))


@lru_cache(maxsize=1_000)
def _entities_beside(known: tuple[str, ...]) -> Sequence[str]:
    """Return the entities that are known of a person, and those of which there can be rows besides."""
    declared = [id_ for id_ in known if id_ in ENTITIES]
    by_holding = [id_ for id_, by in DERIVED_COVERED_BY.items() if not by.isdisjoint(known)]
    return tuple(dict.fromkeys((*declared, *_ALWAYS_THERE, *by_holding)))
