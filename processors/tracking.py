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


class Status(StrEnum):
    """Where a case stands."""

    OPEN = "open"
    COMPLETE = "complete"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class Opened:
    """The notice was accepted: it concerns so many persons. Times are milliseconds since 1970, UTC."""

    reason: str
    persons: int
    received_ms: int


@dataclass(frozen=True)
class Parted:
    """One person's changes: each the name of a receipt to come (`part_name`)."""

    person: str
    parts: frozenset[str]


@dataclass(frozen=True)
class Received:
    """One change is in its domain's store since `applied_ms`."""

    part: str
    applied_ms: int


News = Opened | Parted | Received


def part_name(domain: str, person: str, revision: int) -> str:
    """What a part and its receipt have in common."""
    return f"{domain}/{person}/{revision}"


@dataclass(frozen=True)
class Case:
    """All that is known of one case.

    `waiting` names the parts without a receipt, `early` the receipts that came before their part,
    `applied_ms` is the time of the latest receipt.
    """

    opened: Opened | None = None
    persons: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    parts: int = 0
    applied_ms: int | None = None
    complete: bool = False

    def told(self, news: Iterable[News]) -> Case:
        """The case after this news; what was known already changes nothing."""
        case = self
        for one in news:
            case = case._hears(one)
        return case._closed_if_done()

    def status(self, now_ms: int, overdue_after_ms: int) -> Status:
        """Complete, or open, or open for longer than `overdue_after_ms` since the notice was handed over."""
        if self.complete:
            return Status.COMPLETE
        late = self.opened is not None and now_ms - self.opened.received_ms > overdue_after_ms
        return Status.OVERDUE if late else Status.OPEN

    def _hears(self, news: News) -> Case:
        if self.complete:
            return self
        match news:
            case Opened():
                return replace(self, opened=news)
            case Parted(person, parts):
                return self if person in self.persons else self._parts(person, parts)
            case Received(part, applied_ms):
                return self._receives(part, applied_ms)

    def _parts(self, person: str, parts: frozenset[str]) -> Case:
        return replace(
            self,
            persons=self.persons | {person},
            waiting=self.waiting | (parts - self.early),
            early=self.early - parts,
            parts=self.parts + len(parts),
        )

    def _receives(self, part: str, applied_ms: int) -> Case:
        latest = max(applied_ms, self.applied_ms or 0)
        if part in self.waiting:
            return replace(self, waiting=self.waiting - {part}, applied_ms=latest)
        if any(part_of(part) == person for person in self.persons):
            return self  # told before: its person has parted, and it waits no longer
        return replace(self, early=self.early | {part}, applied_ms=latest)

    def _closed_if_done(self) -> Case:
        done = self.opened is not None and len(self.persons) == self.opened.persons and not self.waiting
        if self.complete or not done:
            return self
        return replace(self, complete=True, persons=frozenset(), early=frozenset())


def part_of(part: str) -> str:
    """The person a part is of."""
    return part.split("/")[1]


def news_of(schema: str, row: Mapping[str, Any]) -> News:
    """A record of `case-opened`, `case-part` or `receipt`, as a case hears it. KeyError: any other."""
    return _NEWS[schema](row)


def _opened(row: Mapping[str, Any]) -> News:
    return Opened(row["reason"], row["persons"], _ms(row["received_at"]))


def _parted(row: Mapping[str, Any]) -> News:
    person = row["person"]
    return Parted(person, frozenset(part_name(p["domain"], person, p["revision"]) for p in row["parts"]))


def _received(row: Mapping[str, Any]) -> News:
    return Received(part_name(row["domain"], row["person"], row["revision"]), _ms(row["applied_at"]))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


_NEWS = {"case-opened": _opened, "case-part": _parted, "receipt": _received}
