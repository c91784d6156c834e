"""Events of declared entities, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

#: Name in submissions of the event that takes back an earlier one of the same submitter.
CANCELLED: Final = "Cancelled"
#: Field of submissions with the resident record codes of several persons, and how many there may be.
MEMBERS: Final = "members"
MEMBERS_MAX: Final = 100
#: Name in submissions of the event that enrols a person in the submitting domain.
ENROLLED: Final = "Enrolled"


class Effect(StrEnum):
    """What an event does to the version of its key: it begins one, gives it other values, or ends it."""

    OPENS = "OPENS"
    CHANGES = "CHANGES"
    CLOSES = "CLOSES"


@dataclass(frozen=True)
class TakesOver:
    """A municipality takes over what the one where the person was registered before had in force on the last day there.

    Its version has the same values in `fields`, and `last_day`, if it is a field, is the last one of so many `months`.
    `closes` is the event that ends the version of before on the same day. It has an effect only `within_days` days
    after the person was registered here.
    """

    fields: tuple[str, ...]
    closes: str
    within_days: int
    last_day: str | None = None
    months: int = 0

    @property
    def given(self) -> tuple[str, ...]:
        """The fields to which it gives a value."""
        return (*self.fields, *(() if self.last_day is None else (self.last_day,)))


@dataclass(frozen=True)
class Event:
    """Something that happened, named in the past tense. `fields` are those that it brings, besides the key.

    `sets` are values of other fields that the event means. `file_within` is the number of days within which it should
    be submitted, None if there is no such rule. An event that opens the fact of a municipality has an effect only if
    its registration of the person is the confirmed one on that day, unless it `is_anywhere`. A submission of an event
    `of_members` names all persons to whom it happens; any other names one person. What
    it `takes_over` it doesn't bring.
    """

    name: str
    japanese: str
    effect: Effect
    fields: tuple[str, ...] = ()
    sets: Mapping[str, str] = field(default_factory=dict)
    file_within: int | None = None
    is_anywhere: bool = False
    of_members: bool = False
    takes_over: TakesOver | None = None

    def anywhere(self) -> Event:
        """Return the same event, which a municipality may submit also about others than its residents."""
        return replace(self, is_anywhere=True)

    def taking_over(self, rule: TakesOver) -> Event:
        """Return the same event, which takes over what another municipality had."""
        return replace(self, takes_over=rule)

    @property
    def given(self) -> frozenset[str]:
        """The fields that have a value by it: it brings them, sets them, or takes them over."""
        taken = self.takes_over.given if self.takes_over is not None else ()
        return frozenset({*self.fields, *self.sets, *taken})

    def members(self) -> Event:
        """Return the same event, whose submission names several persons: it happens to each of them."""
        return replace(self, of_members=True)


def opens(name: str, japanese: str, *fields: str, **sets: str) -> Event:
    """Declare an event that begins a version of its key."""
    return Event(name, japanese, Effect.OPENS, fields, MappingProxyType(sets))


def changes(name: str, japanese: str, *fields: str, **sets: str) -> Event:
    """Declare an event that gives an open version other values from its day on."""
    return Event(name, japanese, Effect.CHANGES, fields, MappingProxyType(sets))


def closes(name: str, japanese: str, *fields: str, **sets: str) -> Event:
    """Declare an event that ends a version: its day is the first on which the version doesn't hold."""
    return Event(name, japanese, Effect.CLOSES, fields, MappingProxyType(sets))
