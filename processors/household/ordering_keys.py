"""Ordering keys of a notice in the household step; see `processors.notice_ordering`."""

from __future__ import annotations

from collections.abc import Sequence

from processors.household.decide import PendingNotice
from processors.household.register import Register
from processors.notice_ordering import NoticeScope, ordering_keys_of
from streams.contract import OrderingKeys


def ordering_keys_in(notice: PendingNotice, register: Register) -> OrderingKeys:
    """Return the ordering keys of the next notice of a register; they are unique to its municipality."""
    cancelled = register.entry(notice.cancels) if notice.cancels is not None else None
    names_persons = notice.persons is not None
    persons = [person for person, _ in notice.persons or ()]
    persons += cancelled.persons if cancelled else ()
    persons += () if names_persons or notice.household is None else register.residents_of(notice.household)
    residents = [register.resident(person) for person in persons]
    # A cancellation moves the persons back into the households in which they lived before the cancelled notice.
    after_cancellation = (
        [register.resident(person).without_entry(cancelled.seq) for person in cancelled.persons]
        if cancelled
        else []
    )
    keys = ordering_keys_of(
        NoticeScope(
            persons=persons,
            numbers=(notice.number, notice.cancels),
            households_joined=[
                *(facts.household for _, facts in notice.persons or ()),
                notice.to and notice.to.household,
                *(resident.household for resident in after_cancellation if resident.resident),
            ],
            households_left=[resident.household for resident in residents if resident.resident],
            household=None if names_persons else notice.household,
        )
    )
    return OrderingKeys(_in_municipality(notice, keys.waits_for), _in_municipality(notice, keys.blocks))


def _in_municipality(notice: PendingNotice, keys: Sequence[str]) -> list[str]:
    return [f"{notice.municipality}/{key}" for key in keys]
