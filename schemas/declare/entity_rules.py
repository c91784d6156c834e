"""Rules of declared entities: invariants, and what follows by itself from what happens to the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, date
from enum import StrEnum

from schemas.declare.entity_fields import DeclarationError


@dataclass(frozen=True)
class FinalValue:
    """Once a field has this value, no later event has an effect on the version."""

    field: str
    value: str


@dataclass(frozen=True)
class AtMostOneInForce:
    """Of all keys of a person at most one is in force on a day, among the versions with `field` in `values`."""

    field: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class OfResidenceOn:
    """Only the municipality of the confirmed registration on a day of the year in field `year` has such a fact.

    So nobody has one of a person who was registered nowhere on that day, or had died by then. The field is part of the
    key, and the fact can't begin before that day. Where the person lives afterwards changes nothing.
    """

    month: int
    day: int
    year: str

    def day_of(self, year: str | None) -> date | None:
        """Return the day of a year; None if the text is no year of the calendar."""
        if year is None or not year.isdecimal() or not MINYEAR <= int(year) <= MAXYEAR:
            return None
        return date(int(year), self.month, self.day)


Invariant = FinalValue | AtMostOneInForce | OfResidenceOn


class Level(StrEnum):
    """How much of a kind of fact may be seen from outside: at the high level not even of whom there is one."""

    STANDARD = "STANDARD"
    HIGH = "HIGH"


def require_level(declared: str, level: object) -> None:
    """Raise DeclarationError if what is declared has a text as its level, which would count as no level."""
    if not isinstance(level, Level):
        raise DeclarationError(f"{declared}: the level must be Level.STANDARD or Level.HIGH, not {level!r}")


class Cause(StrEnum):
    """What happens to a person in the confirmed registration, and may have a consequence for an entity.

    REGISTERED is any registration that is confirmed, DEPARTED a move out after which none is. LEFT is the end of the
    registration in the municipality of the key, for whatever reason: it is one for entities with PART in their key.
    """

    REGISTERED = "REGISTERED"
    FACTS_CHANGED = "FACTS_CHANGED"
    DEPARTED = "DEPARTED"
    MOVED_ABROAD = "MOVED_ABROAD"
    DIED = "DIED"
    LEFT = "LEFT"


@dataclass(frozen=True)
class Follows:
    """An event that follows by itself, for each open key, from what happens to the person.

    `facts` are those of which one must change (FACTS_CHANGED). `where` are values that the key must have. It follows
    `after_days` days after its cause, unless the event `unless` happens to the key before, or after DEPARTED the person
    is registered again. A consequence that `stays` is not undone if its cause is cancelled, for keys that were known
    before the cancellation was received.
    """

    event: str
    when: Cause
    facts: frozenset[str] = frozenset()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    after_days: int = 0
    unless: str | None = None
    stays: bool = False


@dataclass(frozen=True)
class Expires:
    """An event that follows by itself on the day after the one in `field`."""

    event: str
    field: str


@dataclass(frozen=True)
class ByResidence:
    """The entity is open for the municipality where the person is registered, from an age on.

    `opens` takes effect on the day of the registration, or on the day before the birthday if that is later: the day on
    which the age is reached by law. `closes` takes effect `closes_after_days` days after the person has left or died,
    at once if it opens elsewhere on that day, and after the events of its day. A key with the value `keeps` (field and
    value) stays open after the person has left, and none opens elsewhere meanwhile.
    """

    opens: str
    closes: str
    from_age: int
    closes_after_days: int = 0
    keeps: tuple[str, str] | None = None
