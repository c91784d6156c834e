"""The order of one day: within a municipality as listed, between municipalities by following the person.

Source: samples/README.md, "Order".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from processors.fan_out.history import PersonNotice
from processors.fan_out.person_state import ABROAD_CODE, Residence
from schemas.reasons import NEW_THERE, Reason

FIRST: Final = frozenset({Reason.FIRST_REGISTERED, Reason.BORN})
ENDS_RESIDENCE: Final = frozenset({Reason.MOVED_OUT, Reason.MOVED_ABROAD, Reason.DIED})


def order_day(notices: Sequence[PersonNotice], dawn: Residence) -> list[PersonNotice]:
    """One day's notices in the order of effect; `dawn` is where the person was before.

    Total and independent of the order given: what no rule orders goes by municipality.
    """
    listed = sorted(notices, key=lambda notice: (notice.municipality, notice.seq))
    if len({notice.municipality for notice in listed}) < 2:
        return listed
    return _walk(listed, dawn)


def _walk(listed: list[PersonNotice], place: Residence) -> list[PersonNotice]:
    ordered: list[PersonNotice] = []
    remaining = listed
    while remaining:
        heads = {notice.municipality: notice for notice in reversed(remaining)}
        chosen = min(heads.values(), key=lambda head: (_rank(head, place, remaining), head.municipality))
        remaining = [notice for notice in remaining if notice is not chosen]
        ordered.append(chosen)
        place = after(place, chosen)
    return ordered


def _rank(head: PersonNotice, place: Residence, remaining: list[PersonNotice]) -> int:
    """How surely this notice is the person's next: 0 the surest."""
    if head.reason in FIRST:
        return 0
    if head.reason not in NEW_THERE:
        return 1 if head.municipality in place.residences else 6
    if (head.moved_from, head.municipality) in place.under_way:
        return 2
    if any(origin == head.moved_from for origin, _ in place.under_way):
        return 3
    if head.reason is Reason.MOVED_IN_FROM_ABROAD:
        return 4 if not place.residences else 5
    return 6 if _departure_follows(head, remaining) else 5


def _departure_follows(head: PersonNotice, remaining: list[PersonNotice]) -> bool:
    """Whether the move out that this move in waits for is still to come on this day."""
    return any(
        notice.municipality == head.moved_from and notice.reason is Reason.MOVED_OUT for notice in remaining
    )


def after(place: Residence, notice: PersonNotice) -> Residence:
    """Where the person is after a notice."""
    here = notice.municipality
    if notice.reason in NEW_THERE:
        under_way = (way for way in place.under_way if not _arrived(way, notice))
        return Residence(place.residences | {here}, frozenset(under_way))
    if notice.reason not in ENDS_RESIDENCE or here not in place.residences:
        return place
    kept = frozenset(way for way in place.under_way if way[0] != here)
    if notice.reason is Reason.DIED:
        return Residence(place.residences - {here}, kept)
    return Residence(place.residences - {here}, kept | {(here, destination(notice))})


def destination(notice: PersonNotice) -> str | None:
    """Where a move out leads to."""
    return ABROAD_CODE if notice.reason is Reason.MOVED_ABROAD else notice.moved_to


def _arrived(way: tuple[str, str | None], notice: PersonNotice) -> bool:
    origin, to = way
    back = notice.reason is Reason.MOVED_IN_FROM_ABROAD and to == ABROAD_CODE
    return back or origin in (notice.moved_from, notice.municipality)
