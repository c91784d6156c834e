"""Which declared entities of a person a change of the person's state may affect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from processors.entities.rows import BY_RESIDENCE_ALONE
from processors.fan_out.person_state import LifePeriod, PersonState


def is_seen_by_entities(before: PersonState, after: PersonState) -> bool:
    """Return whether anything differs on which the rows of declared entities depend, beside the rows of domains."""
    return _seen(before) != _seen(after)


def _seen(state: PersonState) -> tuple[object, ...]:
    return state.life, state.protected, state.ever_protected


def affected_entities(before: PersonState, after: PersonState, entities: Sequence[str]) -> Sequence[str]:
    """Return those of the entities that may differ, as what they depend on does."""
    if before.protected != after.protected or _residence(before.life) != _residence(after.life):
        return entities
    return [id_ for id_ in entities if id_ not in BY_RESIDENCE_ALONE]


def _residence(life: Sequence[LifePeriod]) -> list[tuple[date, str | None, date | None]]:
    """Return the periods of a life by municipality and birth date alone, each with its first day."""
    periods: list[tuple[date, str | None, date | None]] = []
    for period in life:
        birth_date = period.facts.birth_date if period.facts is not None else None
        if not periods or periods[-1][1:] != (period.municipality, birth_date):
            periods.append((period.begins, period.municipality, birth_date))
    return periods
