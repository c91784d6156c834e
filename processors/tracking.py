"""When is a case done? The rules of the tracker, without a broker and without a clock.

A case opens with the number of persons it concerns, every person parts into changes for domains (perhaps
none), and every change comes back as a receipt. These three kinds of news arrive in any order, and more than
once; `Case.told` is idempotent, and gives the same case whatever the order. A case that is complete forgets
who was in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any


class CaseStatus(StrEnum):
    """Where a case stands."""

    OPEN = "open"
    COMPLETE = "complete"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class CaseOpened:
    """The notice was accepted: it concerns so many persons. Times are milliseconds since 1970, UTC."""

    reason: str
    persons: int
    received_ms: int


@dataclass(frozen=True)
class CaseDispatched:
    """One person's changes: each the name of a receipt to come (`part_name`)."""

    person: str
    changes: frozenset[str]


@dataclass(frozen=True)
class ReceiptReceived:
    """One change is in its domain's store since `applied_ms`."""

    part: str
    applied_ms: int


CaseEvent = CaseOpened | CaseDispatched | ReceiptReceived


def change_id(domain: str, person: str, revision: int) -> str:
    """What a part and its receipt have in common."""
    return f"{domain}/{person}/{revision}"


@dataclass(frozen=True)
class TrackedCase:
    """All that is known of one case.

    `waiting` names the parts without a receipt, `early` the receipts that came before their part,
    `applied_ms` is the time of the latest receipt.
    """

    opened: CaseOpened | None = None
    persons: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    changes: int = 0
    applied_ms: int | None = None
    complete: bool = False

    def apply(self, news: Iterable[CaseEvent]) -> TrackedCase:
        """The case after this news; what was known already changes nothing."""
        case = self
        for one in news:
            case = case._applied(one)
        return case._closed_if_done()

    def status(self, now_ms: int, overdue_after_ms: int) -> CaseStatus:
        """Complete, or open, or open for longer than `overdue_after_ms` since the notice was handed over."""
        if self.complete:
            return CaseStatus.COMPLETE
        late = self.opened is not None and now_ms - self.opened.received_ms > overdue_after_ms
        return CaseStatus.OVERDUE if late else CaseStatus.OPEN

    def _applied(self, news: CaseEvent) -> TrackedCase:
        if self.complete:
            return self
        match news:
            case CaseOpened():
                return replace(self, opened=news)
            case CaseDispatched(person, parts):
                return self if person in self.persons else self._parts(person, parts)
            case ReceiptReceived(part, applied_ms):
                return self._receives(part, applied_ms)

    def _parts(self, person: str, parts: frozenset[str]) -> TrackedCase:
        return replace(
            self,
            persons=self.persons | {person},
            pending=self.pending | (parts - self.early),
            early=self.early - parts,
            changes=self.changes + len(parts),
        )

    def _receives(self, part: str, applied_ms: int) -> TrackedCase:
        latest = max(applied_ms, self.applied_ms or 0)
        if part in self.pending:
            return replace(self, pending=self.pending - {part}, applied_ms=latest)
        if any(part_of(part) == person for person in self.persons):
            return self  # told before: its person has parted, and it waits no longer
        return replace(self, early=self.early | {part}, applied_ms=latest)

    def _closed_if_done(self) -> TrackedCase:
        done = self.opened is not None and len(self.persons) == self.opened.persons and not self.pending
        if self.complete or not done:
            return self
        return replace(self, complete=True, persons=frozenset(), early=frozenset())


def part_of(part: str) -> str:
    """The person a part is of."""
    return part.split("/")[1]


def case_event(schema: str, row: Mapping[str, Any]) -> CaseEvent:
    """A record of `case-opened`, `case-dispatched` or `receipt`, as a case hears it. KeyError: any other."""
    return _NEWS[schema](row)


def _opened(row: Mapping[str, Any]) -> CaseEvent:
    return CaseOpened(row["reason"], row["persons"], _ms(row["received_at"]))


def _parted(row: Mapping[str, Any]) -> CaseEvent:
    person = row["person"]
    return CaseDispatched(
        person, frozenset(change_id(p["domain"], person, p["revision"]) for p in row["changes"])
    )


def _received(row: Mapping[str, Any]) -> CaseEvent:
    return ReceiptReceived(change_id(row["domain"], row["person"], row["revision"]), _ms(row["applied_at"]))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


_NEWS = {"case-opened": _opened, "case-dispatched": _parted, "receipt": _received}
