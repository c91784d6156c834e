"""What a person's history is made of: parts of notices, enrolments, events of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from schemas.reasons import FACTS, FIELDS_BY_REASON, Reason


class Facts(NamedTuple):
    """A person's facts, or those that a notice gives: None is not known, or not given."""

    name: str | None = None
    kana: str | None = None
    birth_date: date | None = None
    sex: str | None = None
    relationship: str | None = None
    household: str | None = None
    address: str | None = None


NOTHING: Final = Facts()

_CHANGES: Final[Mapping[Reason, tuple[bool, ...]]] = {
    reason: tuple(name in fields for name in Facts._fields) for reason, fields in FIELDS_BY_REASON.items()
}

if Facts._fields != FACTS:  # a fact added to the declarations must be added here, or it would get lost
    raise ImportError("schemas.reasons.FACTS and Facts differ")


def given(reason: Reason, facts: Facts) -> Facts:
    """What a notice with this reason changes, whatever else it shows."""
    changes = _CHANGES[reason]
    pairs = zip(changes, facts, strict=True)
    kept = facts if all(changes) else Facts._make([fact if changed else None for changed, fact in pairs])
    return NOTHING if kept == NOTHING else kept


def merged(facts: Facts, changes: Facts) -> Facts:
    """`facts` with what `changes` gives; the same object where that is nothing."""
    if changes is NOTHING:
        return facts
    pairs = zip(facts, changes, strict=True)
    return Facts._make([old if new is None else new for old, new in pairs])


@dataclass(frozen=True, slots=True)
class PersonNotice:
    """The person's part of an accepted notice; with reason CANCELLED, of a cancellation.

    `seq` is the place in the municipality's list. `protected` is what a notice of birth says; no other notice's
    column counts.
    """

    municipality: str
    number: str
    seq: int
    reason: Reason
    effective_on: date
    facts: Facts = NOTHING
    protected: bool = False
    moved_from: str | None = None
    moved_to: str | None = None
    cancels: str | None = None

    @property
    def id(self) -> tuple[str, str]:
        """Municipality and number."""
        return self.municipality, self.number


class Enrolment(NamedTuple):
    """A domain holds the person from that day on; `municipality` in municipal domains."""

    domain: str
    municipality: str | None
    since: date


class Account(NamedTuple):
    """A public-money account and what happened to it (REGISTERED, CHANGED, CLOSED); the fields of `Account`."""

    event: str
    account: str
    holder_kana: str = ""
    bank: str = ""
    branch: str = ""
    type: str = ""
    number: str = ""


class AccountEvent(NamedTuple):
    """What happened to an account, and the day it took effect."""

    effective_on: date
    account: Account


@dataclass(frozen=True, slots=True)
class History:
    """All that is known of a person, in any order; enrolments and account events without repetition."""

    notices: tuple[PersonNotice, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    accounts: tuple[AccountEvent, ...] = ()

    def standing(self) -> list[PersonNotice]:
        """The notices that are folded: neither cancelled nor cancellations."""
        cancelled = {(n.municipality, n.cancels) for n in self.notices if n.reason is Reason.CANCELLED}
        return [n for n in self.notices if n.reason is not Reason.CANCELLED and n.id not in cancelled]
