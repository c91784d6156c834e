"""Entries of a history whose day hasn't come: until then they change no row, but a protection measure begins at once.

They come into effect one after the other, in the order of effect, so that each has the changes that follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple, TypeGuard

from processors.fan_out.effective_order import order_day
from processors.fan_out.history import (
    AccountEvent,
    Cancellations,
    Enrolment,
    PersonNotice,
    Settlement,
    effective_notices,
    known_on,
    received_on,
)
from processors.fan_out.person_state import Residence
from schemas.reasons import Reason

DatedEntry = PersonNotice | Enrolment | AccountEvent


class WaitingEntry(NamedTuple):
    """An entry that waits, and for a notice the changes (domain, revision) published when it was received."""

    entry: DatedEntry
    changes: Sequence[tuple[str, int]] = ()

    @property
    def day(self) -> date:
        """The day on which it takes effect."""
        return self.entry.since if isinstance(self.entry, Enrolment) else self.entry.effective_on


def can_wait(entry: DatedEntry | Settlement) -> TypeGuard[DatedEntry]:
    """Return whether an entry takes effect on its day: what an operator decides and what cancels does at once."""
    if isinstance(entry, Settlement):
        return False
    return not isinstance(entry, PersonNotice) or entry.reason is not Reason.CANCELLED


def was_ahead(entry: DatedEntry | Settlement) -> bool:
    """Return whether a notice was received before its day."""
    return isinstance(entry, PersonNotice) and known_on(entry) != received_on(entry.received)


def first_day(waiting: Iterable[WaitingEntry]) -> date | None:
    """Return the first day for which any of the entries waits; None if there is no entry."""
    return min((each.day for each in waiting), default=None)


def is_due(waiting: Iterable[WaitingEntry], day: date) -> bool:
    """Return whether the day of any of the entries has come."""
    return any(each.day <= day for each in waiting)


def next_due(
    waiting: Sequence[WaitingEntry], day: date, residence: Residence, cancelled: Cancellations
) -> WaitingEntry | None:
    """Return the first in the order of effect of the entries whose day has come; None if none has.

    `residence` is where the person lives after everything before it.
    """
    if not is_due(waiting, day):
        return None
    first = first_day(waiting)
    of_day = [each for each in waiting if each.day == first]
    notices = [each.entry for each in of_day if isinstance(each.entry, PersonNotice)]
    effective = effective_notices(notices, cancelled)
    without_effect = {notice.id for notice in notices} - {notice.id for notice in effective}
    in_order = [*sorted(without_effect), *(notice.id for notice in order_day(effective, residence))]
    return min(of_day, key=lambda each: _rank(each.entry, in_order))


def _rank(entry: DatedEntry, notices: Sequence[tuple[str, str]]) -> int:
    """Return the place within a day: notices, then enrolments, then account events."""
    if isinstance(entry, PersonNotice):
        return notices.index(entry.id)
    return len(notices) + (0 if isinstance(entry, Enrolment) else 1)
