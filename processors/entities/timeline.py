"""The timeline of a declared entity of a person, and the submissions from which it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple

#: The values of the entity's key, in its order; "" for the part of a national system.
Key = tuple[str, ...]
Values = tuple[str | None, ...]


class Submission(NamedTuple):
    """An event about one entity of a person, as received.

    `received` is text that sorts by the time of receipt. `cancels` is a number of the same submitter. `fields` has a
    value per field of the entity, None if it isn't given. `members` is the digest of all persons whom the submission
    names, None if it names this one alone.
    """

    system: str
    part: str | None
    number: str
    event: str
    effective_on: date
    recorded_on: date
    received: str
    cancels: str | None = None
    fields: Values = ()
    members: str | None = None

    @property
    def id(self) -> tuple[str, str, str]:
        """Submitter (system and part) and number, which identify a submission."""
        return self.system, self.part or "", self.number


class Version(NamedTuple):
    """What holds of one key from the day `begins` until the next version begins. `values` has a value per field.

    A version that isn't `open` is one after its closing: its values are the last ones.
    """

    begins: date
    open: bool
    values: Values


class NoEffect(StrEnum):
    """Why a submission has no effect."""

    OPEN_ALREADY = "OPEN_ALREADY"
    NOT_OPEN = "NOT_OPEN"
    FINAL = "FINAL"
    AT_MOST_ONE = "AT_MOST_ONE"
    NOT_REGISTERED = "NOT_REGISTERED"
    TOO_EARLY = "TOO_EARLY"
    NOTHING_TO_TAKE_OVER = "NOTHING_TO_TAKE_OVER"

    @property
    def sentence(self) -> str:
        """What a clerk reads."""
        return _SENTENCES[self]


_SENTENCES: Final[Mapping[NoEffect, str]] = {
    NoEffect.OPEN_ALREADY: "it opens what is open already on its day",
    NoEffect.NOT_OPEN: "it changes or closes what isn't open on its day",
    NoEffect.FINAL: "what it is about has a final value on its day",
    NoEffect.AT_MOST_ONE: "another one is in force on its day, and at most one may be",
    NoEffect.NOT_REGISTERED: "the person isn't registered in the municipality on the day that counts",
    NoEffect.TOO_EARLY: "it is before the day of its year that counts, or its year is none",
    NoEffect.NOTHING_TO_TAKE_OVER: "there is nothing to take over, or it is too late for that",
}


@dataclass(slots=True)  # Not frozen: that takes three times as long to make.
class Timeline:
    """The versions of each key, oldest first, and the submissions that have no effect, each with the reason."""

    versions: dict[Key, list[Version]] = field(default_factory=dict)
    without_effect: list[tuple[Submission, NoEffect]] = field(default_factory=list)

    def days(self) -> list[date]:
        """Return the days on which a version begins."""
        return [version.begins for versions in self.versions.values() for version in versions]


def next_day(day: date, timelines: Sequence[Timeline]) -> date | None:
    """Return the first day after `day` on which any of the timelines changes; None if there is none."""
    return min((begins for each in timelines for begins in each.days() if begins > day), default=None)


def version_on(versions: Sequence[Version], day: date) -> Version | None:
    """Return the version that holds on a day; None before the first."""
    for version in reversed(versions):
        if version.begins <= day:
            return version
    return None
