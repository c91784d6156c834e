"""One person in one municipality's list: when they came and left, and in which household they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from schemas.reasons import FIELDS_BY_REASON, NEW_THERE, Reason

#: With these the person is no resident there any more.
LEAVING = frozenset({Reason.MOVED_OUT, Reason.MOVED_ABROAD, Reason.DIED})


class Step(StrEnum):
    """What a notice does to a person's residence; symbols of the Avro enum `Step`."""

    ENTERED = "ENTERED"
    STAYED = "STAYED"
    LEFT = "LEFT"


def step_of(reason: Reason) -> Step:
    """What a notice with this reason does to the residence of those it concerns."""
    if reason in NEW_THERE:
        return Step.ENTERED
    return Step.LEFT if reason in LEAVING else Step.STAYED


def household_given(reason: Reason, facts: Mapping[str, Any]) -> str | None:
    """The household that a notice puts a person into; None where the reason leaves it as it was."""
    given: str | None = facts.get("household")
    return given if "household" in FIELDS_BY_REASON[reason] else None


@dataclass(frozen=True, slots=True)
class Mark:
    """A notice of a person that stands (cancellations leave no mark, and take one away)."""

    effective_on: date
    seq: int
    step: Step
    household: str | None

    @property
    def at(self) -> tuple[date, int]:
        """Place in the order of effect within the municipality."""
        return self.effective_on, self.seq


@dataclass(frozen=True, slots=True)
class Local:
    """A person's marks in one municipality, in the order of effect, and how they stand after all of them.

    Whoever has a `Local` is known there, also when dead or gone.
    """

    marks: tuple[Mark, ...] = ()
    resident: bool = False
    household: str | None = None

    def with_mark(self, mark: Mark) -> Local:
        """After one more notice."""
        if self.marks and mark.at < self.marks[-1].at:
            return standing(sorted((*self.marks, mark), key=_at))
        resident = self.resident if mark.step is Step.STAYED else mark.step is Step.ENTERED
        return Local((*self.marks, mark), resident, mark.household or self.household)

    def without(self, seq: int) -> Local:
        """As if the notice at this place of the list had never been."""
        return standing([mark for mark in self.marks if mark.seq != seq])

    def resident_at(self, effective_on: date, seq: int) -> bool:
        """Whether the person was resident just before that place in the order of effect."""
        return standing([mark for mark in self.marks if mark.at < (effective_on, seq)]).resident

    def later_than(self, effective_on: date, seq: int) -> bool:
        """Whether a notice of this person that stands comes later in the order of effect."""
        return bool(self.marks) and self.marks[-1].at > (effective_on, seq)


NOBODY = Local()


def _at(mark: Mark) -> tuple[date, int]:
    return mark.at


def standing(marks: Iterable[Mark]) -> Local:
    """How a person stands after these marks, given in the order of effect."""
    kept = tuple(marks)
    moves = [mark.step for mark in kept if mark.step is not Step.STAYED]
    households = [mark.household for mark in kept if mark.household is not None]
    resident = bool(moves) and moves[-1] is Step.ENTERED
    return Local(kept, resident, households[-1] if households else None)
