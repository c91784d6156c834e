"""The household step: `notice` in; `person.change`, `case.opened` and `rejected.<system>` out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from processors.household.decide import PendingNotice, decide
from processors.household.ordering_keys import strands_in
from processors.household.pending_notices import notices_of
from processors.household.person_changes import HouseholdOutputs
from processors.household.register import STORES, Registers
from schemas.reasons import Reason
from streams.contract import Batch, OrderingKeys, Poison, Result, State


class HouseholdProcessor:
    """Judges each notice at its place in its municipality's list, and parts it into changes of persons.

    Promises: a notice is listed whole or not at all; the outcome depends on the order of each municipality's notices
    alone, not on how they were cut into batches or interleaved with another's. Keeps five stores, none of whose
    values grows with the municipality.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """Each store's schema in the catalogue."""
        return STORES

    def process(self, batch: Batch, state: State) -> Result:
        """Notices of one partition in the order of their offsets."""
        notices = notices_of(batch.table)
        registers, outcome, poison = Registers(state), HouseholdOutputs(batch.table), []
        _prefetch(registers, notices)
        for index, notice in enumerate(notices):
            if notice.reason is Reason.UNKNOWN:
                poison.append(Poison(0, index, "reason unknown to this version"))
            else:
                outcome.add(index, decide(notice, registers.of(notice.municipality)))
        registers.flush()
        return Result(outcome.outputs(), poison)

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """What must stay in order with each notice: persons and households, not the municipality that is its key."""
        if state is None:
            raise ValueError("the step keeps state")
        notices, registers = notices_of(batch.table), Registers(state)
        _prefetch(registers, notices)
        return [strands_in(notice, registers.of(notice.municipality)) for notice in notices]


def _prefetch(registers: Registers, notices: Sequence[PendingNotice]) -> None:
    """What the notices are about, read in as few goes as what names what allows."""
    for notice in notices:
        registers.want(notice.municipality, notice.digest, (notice.number, notice.cancels))
        registers.want_residents(notice.municipality, [person for person, _ in notice.persons or ()])
        registers.want_households(notice.municipality, _households(notice))
    registers.fetch()
    for notice in notices:
        if notice.cancels is None and notice.household is None:
            continue
        register = registers.of(notice.municipality)
        cancelled = register.listed(notice.cancels) if notice.cancels is not None else None
        meant = register.members(notice.household) if notice.household is not None else ()
        registers.want_residents(notice.municipality, (*meant, *(cancelled.persons if cancelled else ())))
    registers.fetch()
    registers.want_households_of_residents()
    registers.fetch()


def _households(notice: PendingNotice) -> Iterator[str]:
    """The households that a notice names."""
    given = [facts.household for _, facts in notice.persons or ()]
    for household in (notice.household, notice.to and notice.to.household, *given):
        if household is not None:
            yield household
