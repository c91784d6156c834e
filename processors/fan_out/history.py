"""A person's history: notices, enrolments, account events, and an operator's settlements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple, NewType

from processors.japan import day_of_ms
from schemas.reasons import ENDS_RESIDENCE, FACTS, FIELDS_BY_REASON, Reason


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

#: For each reason whether it changes each of the facts; None if it changes all.
_IS_CHANGED: Final[Mapping[Reason, tuple[bool, ...] | None]] = {
    reason: None if fields >= set(Facts._fields) else tuple(name in fields for name in Facts._fields)
    for reason, fields in FIELDS_BY_REASON.items()
}

if Facts._fields != FACTS:  # Otherwise a fact added to schemas.reasons alone would be lost without an error.
    raise ImportError(
        "schemas.reasons.FACTS and the fields of Facts differ; add the missing fact to the other one"
    )


def changed_facts(reason: Reason, facts: Facts) -> Facts:
    """Return the facts that a notice with this reason changes, without any others that it shows."""
    is_changed = _IS_CHANGED[reason]
    if is_changed is None:
        changes = facts
    else:
        pairs = zip(is_changed, facts, strict=True)
        changes = Facts._make([fact if changed else None for changed, fact in pairs])
    return NOTHING if changes == NOTHING else changes


def merge(facts: Facts, changes: Facts) -> Facts:
    """Return `facts` with the facts that `changes` gives; the same object if it gives none."""
    if changes is NOTHING:
        return facts
    pairs = zip(facts, changes, strict=True)
    return Facts._make([old if new is None else new for old, new in pairs])


#: When and where a submission was received. The order of receipts decides whose registration is confirmed.
#: It is text, because a person's state has several, and stores and compares them far faster than a record's fields.
Receipt = NewType("Receipt", str)

#: The receipt of a notice for which none is known: before all others.
NO_RECEIPT: Final = Receipt("")

_TIME_DIGITS: Final = 13


def receipt_of(received_at: int, topic: str, partition: int, offset: int) -> Receipt:
    """Return a receipt: receipts sort by time, topic, partition and offset.

    `received_at` is the Kafka timestamp in milliseconds: of a resubmission, that of the operator's command.
    """
    return Receipt(f"{received_at:0{_TIME_DIGITS}d} {topic} {partition:05d} {offset:015d}")


def first_receipt_at(time_ms: int) -> Receipt:
    """Return what sorts before all receipts of this time (Kafka timestamp in milliseconds) and after all others."""
    return Receipt(f"{time_ms:0{_TIME_DIGITS}d}")


def received_at(receipt: str) -> int:
    """Return the Kafka timestamp of a receipt in milliseconds; 0 if it isn't known."""
    return int(receipt[:_TIME_DIGITS] or 0)


@lru_cache(maxsize=10_000)  # Of one record it is asked several times.
def received_on(receipt: str) -> date:
    """Return the day of a receipt in Japan."""
    return day_of_ms(received_at(receipt))


class PersonNotice(NamedTuple):
    """One person's part of an accepted notice; with reason CANCELLED, of a cancellation.

    `seq` is the sequence number in the municipality's register. `protected` comes from a notice of birth; the column
    has no meaning in other notices. `cancelled_by` is the receipt of the cancellation if this notice is a cancelled
    move out or death: `History.effective_notices` keeps it, because its persons are residents again from its place on.
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
    received: Receipt = NO_RECEIPT
    cancelled_by: Receipt | None = None

    @property
    def begins_protection(self) -> bool:
        """Whether the notice begins a protection measure, if the rules allow it."""
        return self.protected or self.reason is Reason.PROTECTION_BEGUN

    @property
    def id(self) -> tuple[str, str]:
        """Municipality and notice number."""
        return self.municipality, self.number


class Enrolment(NamedTuple):
    """A domain has a record of the person from that day on; `municipality` is set for municipal domains.

    `known_on` is the day of its receipt, in Japan; the earliest day if that wasn't kept.
    """

    domain: str
    municipality: str | None
    since: date
    known_on: date = date.min


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


class Settlement(NamedTuple):
    """An operator's decision about a registration in conflict, identified by municipality and number of its notice.

    The person is registered in `registered_in`: if that is `municipality`, this registration is confirmed, otherwise it
    isn't. `taken_back` ends the decision. The latest settlement received of a registration is in force.
    """

    municipality: str
    notice: str
    registered_in: str
    taken_back: bool
    received: Receipt


def known_on(entry: PersonNotice | Enrolment | Settlement) -> date:
    """Return the day by whose end an entry is known to the domains.

    That is the day of its receipt, in Japan, or of its effect if that is later: until then it waits.
    """
    if isinstance(entry, Enrolment):
        return max(entry.known_on, entry.since)
    day = received_on(entry.received)
    if isinstance(entry, Settlement) or entry.reason is Reason.CANCELLED:
        return day
    return max(day, entry.effective_on)


class Decisions(NamedTuple):
    """The settlements in force: registrations (municipality, notice) that an operator preferred or refused."""

    preferred: frozenset[tuple[str, str]] = frozenset()
    refused: frozenset[tuple[str, str]] = frozenset()


NO_DECISIONS: Final = Decisions()


def decisions_of(settlements: Collection[Settlement]) -> Decisions:
    """Return what is in force after all settlements, whatever their order."""
    if not settlements:
        return NO_DECISIONS
    latest = {(s.municipality, s.notice): s for s in sorted(settlements, key=lambda s: s.received)}
    in_force = {id_: s for id_, s in latest.items() if not s.taken_back}
    preferred = frozenset(id_ for id_, s in in_force.items() if s.registered_in == s.municipality)
    return Decisions(preferred, frozenset(in_force) - preferred) if in_force else NO_DECISIONS


@dataclass(frozen=True, slots=True)
class History:
    """All entries of a person's history, in any order; enrolments and account events without repetition."""

    notices: tuple[PersonNotice, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    accounts: tuple[AccountEvent, ...] = ()
    settlements: tuple[Settlement, ...] = ()

    def effective_notices(self) -> list[PersonNotice]:
        """Return the notices to fold, see the function of this name."""
        return effective_notices(self.notices, cancellations_of(self.notices))


#: The receipt of the cancellation of each cancelled notice, by municipality and number.
Cancellations = Mapping[tuple[str, str], Receipt]


def cancellations_of(notices: Iterable[PersonNotice]) -> dict[tuple[str, str], Receipt]:
    """Return the cancelled notices with the receipts of their cancellations."""
    return {
        (n.municipality, n.cancels): n.received
        for n in notices
        if n.reason is Reason.CANCELLED and n.cancels is not None
    }


def effective_notices(notices: Iterable[PersonNotice], cancelled: Cancellations) -> list[PersonNotice]:
    """Return the notices to fold: no cancellations, and of the cancelled ones only moves out and deaths.

    These are marked by `cancelled_by`. They end no residence, but mark the place from which the person is back.
    """
    folded = []
    for notice in notices:
        by = cancelled.get(notice.id)
        if notice.reason is Reason.CANCELLED or (by is not None and notice.reason not in ENDS_RESIDENCE):
            continue
        folded.append(notice if by is None else notice._replace(cancelled_by=by))
    return folded
