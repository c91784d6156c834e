"""One person's part of one municipality's register: when the person was a resident, and in which household.

A residence entry is one index in four columns, so a person with many notices is cheap to read and to write.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date
from typing import Final, NamedTuple

from schemas.reasons import ENDS_RESIDENCE, FIELDS_BY_REASON, NEW_THERE, Reason

#: The effect of a notice on a person's residence, one letter each.
ENTERED, STAYED, LEFT = "E", "S", "L"

_EPOCH: Final = date(1970, 1, 1).toordinal()


def effect_of(reason: Reason) -> str:
    """Return the effect of a notice with this reason on the residence of its persons."""
    if reason in NEW_THERE:
        return ENTERED
    return LEFT if reason in ENDS_RESIDENCE else STAYED


def household_set_by(reason: Reason, household: str | None) -> str | None:
    """Return the household into which a notice puts a person; None if its reason doesn't change the household."""
    return household if "household" in FIELDS_BY_REASON[reason] else None


def day_number(day: date) -> int:
    """Return the days since 1970-01-01, as Avro counts them."""
    return day.toordinal() - _EPOCH


class ResidenceEntry(NamedTuple):
    """The effect of one notice on one person. A cancellation removes the entry and has none itself.

    `day` (of effect) and `seq` (in the register) together order the entries of a municipality.
    """

    day: int
    seq: int
    effect: str
    household: str | None


class LocalResident(NamedTuple):
    """A person's residence entries in one municipality as columns, in the order of effect.

    `resident` and `household` are derived from them: the person's situation after the last entry.
    """

    days: tuple[int, ...] = ()
    seqs: tuple[int, ...] = ()
    effects: str = ""
    households: tuple[str | None, ...] = ()
    resident: bool = False
    household: str | None = None

    @property
    def known(self) -> bool:
        """Whether the municipality ever had this person as a resident, also if dead or moved away."""
        return bool(self.seqs)

    def with_entry(self, entry: ResidenceEntry) -> LocalResident:
        """Return the person after one more entry."""
        if not self.has_entry_after(entry.day, entry.seq):
            return LocalResident(
                (*self.days, entry.day),
                (*self.seqs, entry.seq),
                self.effects + entry.effect,
                (*self.households, entry.household),
                self.resident if entry.effect == STAYED else entry.effect == ENTERED,
                entry.household or self.household,
            )
        index = self._index(entry.day, entry.seq)
        return _derived(
            (*self.days[:index], entry.day, *self.days[index:]),
            (*self.seqs[:index], entry.seq, *self.seqs[index:]),
            self.effects[:index] + entry.effect + self.effects[index:],
            (*self.households[:index], entry.household, *self.households[index:]),
        )

    def without_entry(self, seq: int) -> LocalResident:
        """Return the person as if the notice with this sequence number had never been accepted."""
        if seq not in self.seqs:
            return self
        index = self.seqs.index(seq)
        after = index + 1
        return _derived(
            self.days[:index] + self.days[after:],
            self.seqs[:index] + self.seqs[after:],
            self.effects[:index] + self.effects[after:],
            self.households[:index] + self.households[after:],
        )

    def resident_at(self, day: int, seq: int) -> bool:
        """Return whether the person was a resident just before this day and sequence number."""
        return _is_resident(self.effects[: self._index(day, seq)])

    def has_entry_after(self, day: int, seq: int) -> bool:
        """Return whether the person has an entry after this day and sequence number."""
        return bool(self.seqs) and (self.days[-1], self.seqs[-1]) > (day, seq)

    def _index(self, day: int, seq: int) -> int:
        return bisect_left(list(zip(self.days, self.seqs, strict=True)), (day, seq))


NEVER_RESIDENT: Final = LocalResident()


def _derived(
    days: tuple[int, ...], seqs: tuple[int, ...], effects: str, households: tuple[str | None, ...]
) -> LocalResident:
    household = next((code for code in reversed(households) if code is not None), None)
    return LocalResident(days, seqs, effects, households, _is_resident(effects), household)


def _is_resident(effects: str) -> bool:
    return effects.rfind(ENTERED) > effects.rfind(LEFT)
