"""What happens to a person, as far as anything of a declared entity follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from processors.entities.timeline import Version
from schemas.declare import Cause

_ONE_DAY = timedelta(days=1)


class PersonCause(NamedTuple):
    """Something that happens to a person on a day. `facts` are those that change.

    `cancelled_by` is the receipt of the cancellation, "" if it is in force. `left` is the municipality that the person
    leaves (LEFT).
    """

    day: date
    cause: Cause
    facts: frozenset[str] = frozenset()
    cancelled_by: str = ""
    left: str | None = None


class ResidencePeriod(NamedTuple):
    """The municipality of the confirmed registration since the day `begins`, None if there is none.

    `values` are the latest facts, as texts in the order of the fields of a resident.
    """

    begins: date
    municipality: str | None
    birth_date: date | None
    dead: bool = False
    values: tuple[str | None, ...] = ()


class Life(NamedTuple):
    """The causes in a person's life in any order, and the residence, oldest period first.

    `accounts` are the versions of the account, if any reading depends on them.
    """

    causes: Sequence[PersonCause] = ()
    periods: Sequence[ResidencePeriod] = ()
    accounts: Sequence[Version] = ()

    def is_registered_between(self, first: date, last: date) -> bool:
        """Return whether a registration of the person is confirmed on any of these days."""
        return any(
            each.cause is Cause.REGISTERED and not each.cancelled_by and first <= each.day <= last
            for each in self.causes
        )

    def left_on(self, municipality: str | None, day: date) -> date:
        """Return the day on which a person who isn't registered there on a day left; the first of all if never was."""
        left = day
        for period in reversed(self.periods):
            if period.begins <= day:
                if period.municipality == municipality:
                    break
                left = period.begins
        return left

    def period_on(self, day: date) -> ResidencePeriod | None:
        """Return the period of a day, begun when its municipality became that of the registration; None before all."""
        found: ResidencePeriod | None = None
        begins = day
        for period in reversed(self.periods):
            if period.begins > day:
                continue
            if found is None:
                found = period
            elif period.municipality != found.municipality:
                break
            begins = period.begins
        return found if found is None or begins == found.begins else found._replace(begins=begins)

    def move_before(self, day: date) -> Move | None:
        """Return the move to where the person is registered on a day; None if there was none."""
        runs: list[tuple[date, str | None]] = []
        for period in self.periods:
            if period.begins <= day and (not runs or runs[-1][1] != period.municipality):
                runs.append((period.begins, period.municipality))
        for (_, origin), (left, _) in reversed(list(pairwise(runs))):
            if origin is not None:
                return Move(runs[-1][0], origin, left - _ONE_DAY)
        return None


class Move(NamedTuple):
    """A person is registered elsewhere since the day `on`; before, in `origin` until the day `until`."""

    on: date
    origin: str
    until: date


NOTHING_KNOWN = Life()


@lru_cache(maxsize=50_000)  # There are as many birth dates of persons alive.
def age_reached_on(birth_date: date, age: int) -> date:
    """Return the day on which an age is reached: the day before the birthday.

    Who is born on 29 February reaches it on 28 February. Source: 年齢計算ニ関スル法律, 民法第143条.
    """
    try:
        birthday = birth_date.replace(year=birth_date.year + age)
    except ValueError:
        birthday = date(birth_date.year + age, 3, 1)
    return birthday - _ONE_DAY
