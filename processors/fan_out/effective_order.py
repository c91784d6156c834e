"""The order of effect within one day: by register entry within a municipality, by the person's moves between them.

The rules are in docs/rules.md, "Order of effect".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from processors.fan_out.history import PersonNotice
from processors.fan_out.person_state import ABROAD_CODE, Residence
from schemas.reasons import ENDS_RESIDENCE, NEW_THERE, Reason

FIRST: Final = frozenset({Reason.FIRST_REGISTERED, Reason.BORN})


def order_day(notices: Sequence[PersonNotice], start_of_day: Residence) -> list[PersonNotice]:
    """Return one day's notices in the order of effect, given where the person lived before that day.

    The order is total and independent of the order of `notices`: where no rule decides, the municipality does.
    """
    if len(notices) < 2:
        return [*notices]
    by_register = sorted(notices, key=lambda notice: (notice.municipality, notice.seq))
    if len({notice.municipality for notice in by_register}) < 2:
        return by_register
    return _follow_person(by_register, start_of_day)


def _follow_person(by_register: list[PersonNotice], residence: Residence) -> list[PersonNotice]:
    """Repeatedly take, of the next notice of each municipality, the one that fits best to where the person is."""
    ordered: list[PersonNotice] = []
    remaining = by_register
    while remaining:
        heads = {notice.municipality: notice for notice in reversed(remaining)}
        chosen = min(heads.values(), key=lambda head: (_rank(head, residence, remaining), head.municipality))
        remaining = [notice for notice in remaining if notice is not chosen]
        ordered.append(chosen)
        residence = _after(residence, chosen)
    return ordered


def _rank(head: PersonNotice, residence: Residence, remaining: list[PersonNotice]) -> int:
    """Return how well this notice fits as the person's next: 0 is the best."""
    if head.reason in FIRST:
        return 0
    if head.reason not in NEW_THERE:
        return 1 if head.municipality in residence.municipalities else 6
    if (head.moved_from, head.municipality) in residence.under_way:
        return 2
    if any(origin == head.moved_from for origin, _ in residence.under_way):
        return 3
    if head.reason is Reason.MOVED_IN_FROM_ABROAD:
        return 4 if not residence.municipalities else 5
    return 6 if _departure_follows(head, remaining) else 5


def _departure_follows(head: PersonNotice, remaining: list[PersonNotice]) -> bool:
    """Return whether the move out that belongs to this move in is still to come on this day."""
    return any(
        notice.municipality == head.moved_from
        and notice.reason is Reason.MOVED_OUT
        and not notice.cancelled_by
        for notice in remaining
    )


def _after(residence: Residence, notice: PersonNotice) -> Residence:
    """Return where the person lives after a notice."""
    here = notice.municipality
    if notice.reason in NEW_THERE:
        still_under_way = (move for move in residence.under_way if not _is_completed_by(notice, move))
        return Residence(residence.municipalities | {here}, frozenset(still_under_way))
    ends = notice.reason in ENDS_RESIDENCE and notice.cancelled_by is None
    if not ends or here not in residence.municipalities:
        return residence
    others = frozenset(move for move in residence.under_way if move[0] != here)
    if notice.reason is Reason.DIED:
        return Residence(residence.municipalities - {here}, others)
    return Residence(residence.municipalities - {here}, others | {(here, destination(notice))})


def destination(notice: PersonNotice) -> str | None:
    """Return the municipality to which a move out leads, or the code of abroad."""
    return ABROAD_CODE if notice.reason is Reason.MOVED_ABROAD else notice.moved_to


def _is_completed_by(notice: PersonNotice, move: tuple[str, str | None]) -> bool:
    """Return whether a move in completes a move out (origin, destination)."""
    origin, to = move
    from_abroad = notice.reason is Reason.MOVED_IN_FROM_ABROAD and to == ABROAD_CODE
    return from_abroad or origin in (notice.moved_from, notice.municipality)
