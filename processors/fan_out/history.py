"""A person's history: notices, enrolments and account events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from schemas.reasons import FACTS, FIELDS_BY_REASON, Reason


class Facts(NamedTuple):
    """A person's facts, or those that a notice gives. None: not known, or not given."""

    name: str | None = None
    kana: str | None = None
    birth_date: date | None = None
    sex: str | None = None
    relationship: str | None = None
    household: str | None = None
    address: str | None = None


NOTHING: Final = Facts()

_IS_CHANGED: Final[Mapping[Reason, tuple[bool, ...]]] = {
    reason: tuple(name in fields for name in Facts._fields) for reason, fields in FIELDS_BY_REASON.items()
}

if Facts._fields != FACTS:  # Otherwise a fact added to schemas.reasons alone would be lost without an error.
    raise ImportError(
        "schemas.reasons.FACTS and the fields of Facts differ; add the missing fact to the other one"
    )


def changed_facts(reason: Reason, facts: Facts) -> Facts:
    """Return the facts that a notice with this reason changes, without any others that it shows."""
    is_changed = _IS_CHANGED[reason]
    pairs = zip(is_changed, facts, strict=True)
    changes = (
        facts if all(is_changed) else Facts._make([fact if changed else None for changed, fact in pairs])
    )
    return NOTHING if changes == NOTHING else changes


def merge(facts: Facts, changes: Facts) -> Facts:
    """Return `facts` with the facts that `changes` gives; the same object if it gives none."""
    if changes is NOTHING:
        return facts
    pairs = zip(facts, changes, strict=True)
    return Facts._make([old if new is None else new for old, new in pairs])


@dataclass(frozen=True, slots=True)
class PersonNotice:
    """One person's part of an accepted notice; with reason CANCELLED, of a cancellation.

    `seq` is the sequence number in the municipality's register. `protected` comes from a notice of birth; the column
    has no meaning in other notices. `received_at` is the time of receipt in ms since 1970, None in state of an
    earlier version.
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
    received_at: int | None = None

    @property
    def begins_protection(self) -> bool:
        """Whether the notice begins a protection measure, if the rules allow it."""
        return self.protected or self.reason is Reason.PROTECTION_BEGUN

    @property
    def id(self) -> tuple[str, str]:
        """Municipality and notice number."""
        return self.municipality, self.number


class Enrolment(NamedTuple):
    """A domain has a record of the person from that day on; `municipality` is set for municipal domains."""

    domain: str
    municipality: str | None
    since: date


class Account(NamedTuple):
    """A public-money account and its event (REGISTERED, CHANGED, CLOSED); the fields of record `Account`."""

    event: str
    account: str
    holder_kana: str = ""
    bank: str = ""
    branch: str = ""
    type: str = ""
    number: str = ""


class AccountEvent(NamedTuple):
    """An event of an account, and the day on which it takes effect."""

    effective_on: date
    account: Account


@dataclass(frozen=True, slots=True)
class History:
    """All entries of a person's history, in any order; enrolments and account events without repetition."""

    notices: tuple[PersonNotice, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    accounts: tuple[AccountEvent, ...] = ()

    def effective_notices(self) -> list[PersonNotice]:
        """Return the notices to fold: without cancelled ones and without cancellations."""
        cancelled = {(n.municipality, n.cancels) for n in self.notices if n.reason is Reason.CANCELLED}
        return [n for n in self.notices if n.reason is not Reason.CANCELLED and n.id not in cancelled]
