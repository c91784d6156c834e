"""What must stay in order with a notice in its municipality's list; see `processors.notice_ordering`."""

from __future__ import annotations

from collections.abc import Sequence

from processors.household.decide import PendingNotice
from processors.household.register import Register
from processors.notice_ordering import NoticeScope, ordering_keys_of
from streams.contract import OrderingKeys


def strands_in(notice: PendingNotice, register: Register) -> OrderingKeys:
    """The strands of a notice at the end of the list; within its municipality."""
    cancelled = register.listed(notice.cancels) if notice.cancels is not None else None
    named = notice.persons is not None
    persons = [person for person, _ in notice.persons or ()]
    persons += cancelled.persons if cancelled else ()
    persons += () if named or notice.household is None else register.members(notice.household)
    locals_ = [register.local(person) for person in persons]
    # Whose notice is cancelled, is again where that one found them.
    again = (
        [register.local(person).without(cancelled.seq) for person in cancelled.persons] if cancelled else []
    )
    found = ordering_keys_of(
        NoticeScope(
            persons=persons,
            numbers=(notice.number, notice.cancels),
            joined=[
                *(facts.household for _, facts in notice.persons or ()),
                notice.to and notice.to.household,
                *(local.household for local in again if local.resident),
            ],
            left=[local.household for local in locals_ if local.resident],
            meant=None if named else notice.household,
        )
    )
    return OrderingKeys(_within(notice, found.waits_for), _within(notice, found.blocks))


def _within(notice: PendingNotice, strands: Sequence[str]) -> list[str]:
    return [f"{notice.municipality}/{strand}" for strand in strands]
