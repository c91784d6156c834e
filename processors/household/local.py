"""One person in one municipality's list: when they came and left, and in which household they were.

What is kept of a notice is one place in four columns, so that a long life costs little to read and to write.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date
from typing import Final, NamedTuple

from schemas.reasons import FIELDS_BY_REASON, NEW_THERE, Reason

#: With these the person is no resident there any more.
LEAVING: Final = frozenset({Reason.MOVED_OUT, Reason.MOVED_ABROAD, Reason.DIED})

#: What a notice does to a person's residence, as one letter each.
ENTERED, STAYED, LEFT = "E", "S", "L"

_EPOCH: Final = date(1970, 1, 1).toordinal()


def step_of(reason: Reason) -> str:
    """What a notice with this reason does to the residence of those it concerns."""
    if reason in NEW_THERE:
        return ENTERED
    return LEFT if reason in LEAVING else STAYED


def household_given(reason: Reason, household: str | None) -> str | None:
    """The household that a notice puts a person into; None where the reason leaves it as it was."""
    return household if "household" in FIELDS_BY_REASON[reason] else None


def day_number(day: date) -> int:
    """Days since 1970-01-01, as Avro counts them."""
    return day.toordinal() - _EPOCH


class ResidenceEntry(NamedTuple):
    """A notice of a person that stands (cancellations leave no mark, and take one away).

    Day and place in the list are its place in the order of effect within the municipality.
    """

    day: int
    seq: int
    step: str
    household: str | None


class LocalResident(NamedTuple):
    """A person's marks in one municipality as columns, in the order of effect, and how they stand after all of them.

    Whoever has a mark is known there, also when dead or gone.
    """

    days: tuple[int, ...] = ()
    seqs: tuple[int, ...] = ()
    steps: str = ""
    households: tuple[str | None, ...] = ()
    resident: bool = False
    household: str | None = None

    @property
    def known(self) -> bool:
        """Whether the municipality ever had this person."""
        return bool(self.seqs)

    def with_mark(self, mark: ResidenceEntry) -> LocalResident:
        """After one more notice."""
        if not self.later_than(mark.day, mark.seq):
            return LocalResident(
                (*self.days, mark.day),
                (*self.seqs, mark.seq),
                self.steps + mark.step,
                (*self.households, mark.household),
                self.resident if mark.step == STAYED else mark.step == ENTERED,
                mark.household or self.household,
            )
        place = self._place(mark.day, mark.seq)
        return LocalResident(
            (*self.days[:place], mark.day, *self.days[place:]),
            (*self.seqs[:place], mark.seq, *self.seqs[place:]),
            self.steps[:place] + mark.step + self.steps[place:],
            (*self.households[:place], mark.household, *self.households[place:]),
        )._settled()

    def without(self, seq: int) -> LocalResident:
        """As if the notice at this place of the list had never been."""
        if seq not in self.seqs:
            return self
        place = self.seqs.index(seq)
        after = place + 1
        return LocalResident(
            self.days[:place] + self.days[after:],
            self.seqs[:place] + self.seqs[after:],
            self.steps[:place] + self.steps[after:],
            self.households[:place] + self.households[after:],
        )._settled()

    def _settled(self) -> LocalResident:
        household = next((each for each in reversed(self.households) if each is not None), None)
        resident = _resident(self.steps)
        return LocalResident(self.days, self.seqs, self.steps, self.households, resident, household)

    def resident_at(self, day: int, seq: int) -> bool:
        """Whether the person was resident just before that place in the order of effect."""
        return _resident(self.steps[: self._place(day, seq)])

    def later_than(self, day: int, seq: int) -> bool:
        """Whether a notice of this person that stands comes later in the order of effect."""
        return bool(self.seqs) and (self.days[-1], self.seqs[-1]) > (day, seq)

    def _place(self, day: int, seq: int) -> int:
        return bisect_left(list(zip(self.days, self.seqs, strict=True)), (day, seq))


NOBODY: Final = LocalResident()


def _resident(steps: str) -> bool:
    return steps.rfind(ENTERED) > steps.rfind(LEFT)
