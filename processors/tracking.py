"""The tracker's rules: when a case is open, waiting, overdue or complete. They use no broker and no clock.

A case opens with its number of persons. Each person is dispatched as a list of changes for domains (possibly empty),
and each change is confirmed by a receipt. If the day of the notice hasn't come, the person's rows wait: so does the
case until then, and the person is dispatched again with all changes. These three kinds of case events arrive in any
order and more than once; `TrackedCase.apply` is idempotent and independent of their order. A complete case keeps no
codes of persons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from processors.japan import first_ms_of


class CaseStatus(StrEnum):
    """The state of a case as users see it."""

    OPEN = "open"
    WAITING = "waiting"
    COMPLETE = "complete"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class CaseOpened:
    """A notice was accepted. `persons` is their number, `received_ms` the time of submission (ms since 1970, UTC)."""

    reason: str
    persons: int
    received_ms: int


@dataclass(frozen=True)
class CaseDispatched:
    """One person's changes were published to the domains; `changes` are their IDs (`change_id`).

    If rows wait for the day of the notice, `waits` is true and another such event follows, with all changes.
    `waiting_until` is the day for which they wait, or waited.
    """

    person: str
    changes: frozenset[str]
    waits: bool = False
    waiting_until: date | None = None


@dataclass(frozen=True)
class ReceiptReceived:
    """The change with this ID is in its domain's store since `applied_ms` (ms since 1970, UTC)."""

    change: str
    applied_ms: int


CaseEvent = CaseOpened | CaseDispatched | ReceiptReceived


def change_id(domain: str, person: str, revision: int) -> str:
    """Return the ID that a change and its receipt have in common."""
    return f"{domain}/{person}/{revision}"


def person_of(change: str) -> str:
    """Return the person from the ID of a change."""
    return change.split("/")[1]


@dataclass(frozen=True)
class TrackedCase:
    """Everything known about one case.

    `persons` are the persons already dispatched, `waiting` those whose rows wait for the day `waiting_until`, which
    stays when it has come. `pending` are the IDs of dispatched changes without a receipt, `early` those of receipts
    that arrived before their change was dispatched. `changes` is the number of dispatched changes; those of who waits
    count once nothing waits any more. `applied_ms` is the time of the latest receipt.
    """

    opened: CaseOpened | None = None
    persons: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    waiting_until: date | None = None
    pending: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    changes: int = 0
    applied_ms: int | None = None
    complete: bool = False

    def apply(self, events: Iterable[CaseEvent]) -> TrackedCase:
        """Return the case after these events. Idempotent, and independent of their order."""
        case = self
        for event in events:
            case = case._after(event)
        return case._completed_if_done()

    def status(self, now_ms: int, overdue_after_ms: int) -> CaseStatus:
        """Return COMPLETE, OPEN, WAITING until a day, or OVERDUE if open for more than `overdue_after_ms`.

        The time counts from the submission or, once all persons are dispatched or wait, from the day for which they do.
        """
        if self.complete:
            return CaseStatus.COMPLETE
        if self.opened is None:
            return CaseStatus.OPEN
        since_ms = self.opened.received_ms
        if self.waiting_until is not None and not self._lacks_persons:
            day_ms = first_ms_of(self.waiting_until)
            if self.waiting and now_ms < day_ms:
                return CaseStatus.WAITING
            since_ms = max(since_ms, day_ms)
        return CaseStatus.OVERDUE if now_ms - since_ms > overdue_after_ms else CaseStatus.OPEN

    @property
    def _lacks_persons(self) -> bool:
        """Whether some persons are neither dispatched nor known to wait."""
        return self.opened is None or len(self.persons | self.waiting) < self.opened.persons

    def _after(self, event: CaseEvent) -> TrackedCase:
        if self.complete:
            return self
        match event:
            case CaseOpened():
                return replace(self, opened=event)
            case CaseDispatched(waits=True):
                return self._after_waiting(event)
            case CaseDispatched(person):
                return self if person in self.persons else self._after_dispatch(event)
            case ReceiptReceived(change, applied_ms):
                return self._after_receipt(change, applied_ms)

    def _after_waiting(self, event: CaseDispatched) -> TrackedCase:
        if event.person in self.persons:
            return self
        return replace(
            self,
            waiting=self.waiting | {event.person},
            waiting_until=_later(self.waiting_until, event.waiting_until),
        )

    def _after_dispatch(self, event: CaseDispatched) -> TrackedCase:
        person, changes = event.person, event.changes
        return replace(
            self,
            persons=self.persons | {person},
            waiting=self.waiting - {person},
            waiting_until=_later(self.waiting_until, event.waiting_until),
            pending=self.pending | (changes - self.early),
            early=self.early - changes,
            changes=self.changes + len(changes),
        )

    def _after_receipt(self, change: str, applied_ms: int) -> TrackedCase:
        latest = max(applied_ms, self.applied_ms or 0)
        if change in self.pending:
            return replace(self, pending=self.pending - {change}, applied_ms=latest)
        if person_of(change) in self.persons:
            return (
                self  # A repeated receipt: the person is dispatched, and the change is not pending any more.
            )
        return replace(self, early=self.early | {change}, applied_ms=latest)

    def _completed_if_done(self) -> TrackedCase:
        done = self.opened is not None and len(self.persons) == self.opened.persons and not self.pending
        if self.complete or not done:
            return self
        return replace(self, complete=True, persons=frozenset(), early=frozenset())


def _later(one: date | None, other: date | None) -> date | None:
    return max((each for each in (one, other) if each is not None), default=None)


def case_event(schema: str, row: Mapping[str, Any]) -> CaseEvent:
    """Return a record of `case-opened`, `case-dispatched` or `receipt` as a case event.

    Raise KeyError for any other schema.
    """
    return _FROM_ROW[schema](row)


def _opened(row: Mapping[str, Any]) -> CaseEvent:
    return CaseOpened(row["reason"], row["persons"], _milliseconds(row["received_at"]))


def _dispatched(row: Mapping[str, Any]) -> CaseEvent:
    person = row["person"]
    changes = (change_id(change["domain"], person, change["revision"]) for change in row["changes"])
    return CaseDispatched(person, frozenset(changes), row["waits"], row["waiting_until"])


def _received(row: Mapping[str, Any]) -> CaseEvent:
    change = change_id(row["domain"], row["person"], row["revision"])
    return ReceiptReceived(change, _milliseconds(row["applied_at"]))


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


_FROM_ROW = {"case-opened": _opened, "case-dispatched": _dispatched, "receipt": _received}
