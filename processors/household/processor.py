"""The household step: from `notice` to `person.change`, `case.opened` and `rejected.<system>`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from processors.household.decide import PendingNotice, decide
from processors.household.household_outputs import HouseholdOutputs
from processors.household.ordering_keys import ordering_keys_in
from processors.household.pending_notices import notices_of
from processors.household.register import STORES, Registers
from schemas.reasons import Reason
from streams.contract import Batch, OrderingKeys, Poison, Result, State

#: Maximum number of persons changed by the notices of one call; the pipeline then calls with fewer notices.
CHANGES_MAX: Final = 100_000


class TooManyChangesError(Exception):
    """The notices of a batch change more persons than should be in memory at a time."""


class HouseholdProcessor:
    """Accepts or rejects each notice by its municipality's register, and turns it into one change per person.

    Guarantees: a notice is entered as a whole or not at all. The result depends on the order of each municipality's
    notices alone, not on how they were divided into batches or interleaved with those of other municipalities. It has
    five stores; no value in them grows with the size of the municipality.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """The schema in the catalogue of each store."""
        return STORES

    def process(self, batch: Batch, state: State) -> Result:
        """Process notices of one partition in the order of their offsets.

        Raise TooManyChangesError for several that change more than `CHANGES_MAX` persons.
        """
        notices = notices_of(batch.table)
        registers, outputs = Registers(state), HouseholdOutputs(batch.table)
        poison: list[Poison] = []
        _prefetch(registers, notices)
        for row, notice in enumerate(notices):
            if notice.reason is Reason.UNKNOWN:
                poison.append(Poison(0, row, "reason unknown to this version"))
            else:
                outputs.add(row, decide(notice, registers.register_of(notice.municipality)))
            if row and outputs.changes > CHANGES_MAX:
                raise TooManyChangesError
        registers.flush()
        return Result(outputs.outputs(), poison)

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """Return the ordering keys of each notice: persons and households, not the municipality, which is its key."""
        if state is None:
            raise ValueError("the household step needs its state to find the persons that a notice affects")
        notices, registers = notices_of(batch.table), Registers(state)
        _prefetch(registers, notices)
        return [ordering_keys_in(notice, registers.register_of(notice.municipality)) for notice in notices]


def _prefetch(registers: Registers, notices: Sequence[PendingNotice]) -> None:
    """Read everything that the notices may need, in three rounds: each depends on values read by the one before."""
    for notice in notices:
        registers.request_notice(notice.municipality, notice.digest, (notice.number, notice.cancels))
        registers.request_residents(notice.municipality, [person for person, _ in notice.persons or ()])
        registers.request_households(notice.municipality, _named_households(notice))
    registers.fetch()
    for notice in notices:
        if notice.cancels is None and notice.household is None:
            continue
        register = registers.register_of(notice.municipality)
        cancelled = register.entry(notice.cancels) if notice.cancels is not None else None
        residents = register.residents_of(notice.household) if notice.household is not None else ()
        registers.request_residents(
            notice.municipality, (*residents, *(cancelled.persons if cancelled else ()))
        )
    registers.fetch()
    registers.request_households_of_residents()
    registers.fetch()


def _named_households(notice: PendingNotice) -> Iterator[str]:
    of_persons = [facts.household for _, facts in notice.persons or ()]
    for household in (notice.household, notice.to and notice.to.household, *of_persons):
        if household is not None:
            yield household
