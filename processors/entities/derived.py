"""Timelines of the derived entities, from a person's life."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from processors.entities.causes import Life, ResidencePeriod
from processors.entities.timeline import Key, Timeline, Version
from schemas.declare import ACCOUNT, REGISTRATION, RESIDENT


def derived_timeline(entity: str, life: Life) -> Timeline:
    """Return the timeline of a derived entity, by its id."""
    return _TIMELINES[entity](life)


def _resident(life: Life) -> Timeline:
    timeline = Timeline()
    for period in life.periods:
        _add(timeline, (), period, is_open=not period.dead)
    return timeline


def _registrations(life: Life) -> Timeline:
    timeline = Timeline()
    for period in life.periods:
        for key in [key for key, versions in timeline.versions.items() if versions[-1].open]:
            if key != (period.municipality,):
                last = timeline.versions[key][-1]
                timeline.versions[key].append(last._replace(begins=period.begins, open=False))
        if period.municipality is not None:
            _add(timeline, (period.municipality,), period, is_open=True)
    return timeline


def _account(life: Life) -> Timeline:
    return Timeline({(): list(life.accounts)} if life.accounts else {})


def _add(timeline: Timeline, key: Key, period: ResidencePeriod, *, is_open: bool) -> None:
    timeline.versions.setdefault(key, []).append(Version(period.begins, is_open, period.values))


_TIMELINES: Final[Mapping[str, Callable[[Life], Timeline]]] = {
    RESIDENT.id: _resident,
    REGISTRATION.id: _registrations,
    ACCOUNT.id: _account,
}
