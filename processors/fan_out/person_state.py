"""The state of a person: the result of folding a history. Registrations, domain rows, accounts, and conflicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from processors.entities.coverage import CoverageState
from processors.fan_out.history import (
    NO_DECISIONS,
    NO_RECEIPT,
    Account,
    AccountEvent,
    Decisions,
    Enrolment,
    Facts,
    Receipt,
)
from schemas.reasons import Reason

ACTIVE: Final = "active"
CANDIDATE: Final = "candidate"
CLOSED: Final = "closed"

#: Code of 前住所地 and 転出先 for abroad.
ABROAD_CODE: Final = "999999"

#: Domain, and municipality in municipal domains.
RowKey = tuple[str, str | None]


class Registration(NamedTuple):
    """The person's entry in one municipality's register; `since` is the day on which the residence there began.

    `reason`, `notice` (number), `moved_from` and `received` are of the notice by which it began. `came_back` is the
    receipt of the cancellation that brought it back, None if it never ended. `confirmed_on` is the day since which it
    is the confirmed one, None if it isn't. `refused` is true once an operator has preferred another registration that
    stood at the same time.
    """

    resident: bool
    since: date
    facts: Facts
    reason: Reason = Reason.FIRST_REGISTERED
    notice: str = ""
    moved_from: str | None = None
    received: Receipt = NO_RECEIPT
    came_back: Receipt | None = None
    confirmed_on: date | None = None
    refused: bool = False

    @property
    def rank(self) -> Receipt:
        """The receipt by which it is compared with other registrations that stand."""
        return self.received if self.came_back is None else self.came_back


class ResidenceEnd(NamedTuple):
    """A move out or death in the confirmed registration: where the person may be registered next.

    `registration` (municipality, number of its notice) is the one that ended, `rank` its rank. `destination` is None
    after a death, and the code of abroad after a move abroad. A cancelled end stays: it says who could rely on it.
    """

    registration: tuple[str, str]
    rank: Receipt
    destination: str | None


class UnconfirmedNotice(NamedTuple):
    """A notice that has no effect because the registration of its municipality isn't the confirmed one."""

    kind: str
    municipality: str
    number: str
    effective_on: date


class Departure(NamedTuple):
    """The latest move out of a municipality.

    `to` is the destination that the notice names, `open_domains` are the municipal domains whose row was open until
    then. It is `pending` until a move in from this municipality follows.
    """

    to: str | None
    pending: bool
    open_domains: frozenset[str] = frozenset()


class DomainRow(NamedTuple):
    """A domain's row of the person.

    `facts` include the address while it is withheld, but not once the row is closed. `effective_on` is the day of the
    latest change that the domain can see, `opened_on` the day on which the row was last opened.
    """

    status: str
    facts: Facts
    effective_on: date
    opened_on: date

    @property
    def open(self) -> bool:
        """Whether the row is active or a candidate."""
        return self.status != CLOSED


class Residence(NamedTuple):
    """The municipalities where a person is resident, and the moves out (origin, destination) without a move in yet."""

    municipalities: frozenset[str]
    under_way: frozenset[tuple[str, str | None]]


NO_RESIDENCE: Final = Residence(frozenset(), frozenset())


class Protection(NamedTuple):
    """A protection measure: the day since which it is in force, the day on which it ends (None: not yet).

    `begun_at` and `ended_at` are the times of receipt, in ms since 1970, of the notices that began and ended it.
    """

    since: date
    until: date | None
    begun_at: int
    ended_at: int | None


class AccountInForce(NamedTuple):
    """The account in force, or the last one that was (not `open`); `since` is the day of its latest change."""

    since: date
    open: bool
    account: Account


class AccountConflict(NamedTuple):
    """Why an account is in conflict: the kind, and the day of the event that caused it."""

    kind: str
    since: date


class LifePeriod(NamedTuple):
    """What is known of the person from the day `begins` on, by the confirmed registration; `facts` are the latest."""

    begins: date
    municipality: str | None
    facts: Facts | None
    dead: bool
    abroad: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """A person's accounts.

    `latest` is the account in force or the last one that was, `in_conflict` are the accounts in conflict by ID,
    `pending` the events that can't be checked until the person's name is known.
    """

    latest: AccountInForce | None = None
    in_conflict: dict[str, AccountConflict] = field(default_factory=dict)
    pending: tuple[AccountEvent, ...] = ()


@dataclass(slots=True)
class PersonState:
    """The fold of a person's history.

    The fold changes only its own copy; all other code treats a state as immutable. `facts` are the latest from any
    municipality, None if there are none yet. `registers` are the person's registrations by municipality, `departures`
    the latest move out of each municipality that the person left, `rows` the rows of the domains.

    `confirmed` is the municipality of the confirmed registration. `ends` are the moves out and the deaths in confirmed
    registrations, in the order of effect; `dead` is true after a death until another registration is confirmed.
    `unconfirmed` are notices without effect, `decisions` the operator's decisions that are in force.

    `known_from` is the day of the first registration, `last_day` the latest day folded, `start_of_day` the residence
    before that day. `day_over` is true if enrolments or accounts of that day have been folded: they come after all
    notices of the day.

    `protections` are the protection measures in the order of effect. `ever_protected` is true if any notice begins one,
    whether it has an effect or not. `life` are the periods from which declared entities follow, oldest first.
    """

    facts: Facts | None = None
    confirmed: str | None = None
    ends: tuple[ResidenceEnd, ...] = ()
    unconfirmed: tuple[UnconfirmedNotice, ...] = ()
    decisions: Decisions = NO_DECISIONS
    protected: bool = False
    dead: bool = False
    known_from: date | None = None
    last_day: date | None = None
    day_over: bool = False
    start_of_day: Residence = NO_RESIDENCE
    registers: dict[str, Registration] = field(default_factory=dict)
    departures: dict[str, Departure] = field(default_factory=dict)
    rows: dict[RowKey, DomainRow] = field(default_factory=dict)
    conflicting_enrolments: tuple[Enrolment, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    ever_protected: bool = False
    protections: tuple[Protection, ...] = ()
    life: tuple[LifePeriod, ...] = ()

    def copy(self) -> PersonState:
        """Return a copy that can be folded further without changing this one."""
        # Called once per record; `dataclasses.replace` takes three times as long.
        return PersonState(
            self.facts,
            self.confirmed,
            self.ends,
            self.unconfirmed,
            self.decisions,
            self.protected,
            self.dead,
            self.known_from,
            self.last_day,
            self.day_over,
            self.start_of_day,
            dict(self.registers),
            dict(self.departures),
            dict(self.rows),
            self.conflicting_enrolments,
            self.ledger,
            self.ever_protected,
            self.protections,
            self.life,
        )

    def resident_in(self, municipality: str | None) -> bool:
        """Return whether that municipality's register has the person as a resident."""
        registration = self.registers.get(municipality) if municipality else None
        return registration is not None and registration.resident

    def enrolment_in(self, domain: str, municipality: str | None) -> CoverageState | None:
        """Return since when the domain's row is open, or is not any more; None if there is none."""
        row = self.rows.get((domain, municipality))
        if row is None:
            return None
        return CoverageState(row.open, row.opened_on if row.open else row.effective_on, row.opened_on)

    @property
    def protection_changed_on(self) -> date:
        """The day on which the last protection measure began or, if it isn't in force any more, ended.

        One that ended on its first day was in force on no day, and doesn't count.
        """
        for measure in reversed(self.protections):
            if measure.until is None:
                return measure.since
            if measure.until > measure.since:
                return measure.until
        return date.min

    def residence(self) -> Residence:
        """Return where the person lives now."""
        if not self.registers:
            return NO_RESIDENCE
        municipalities = frozenset([code for code, entry in self.registers.items() if entry.resident])
        if not self.departures:
            return Residence(municipalities, frozenset())
        under_way = frozenset(
            (code, departure.to) for code, departure in self.departures.items() if departure.pending
        )
        return Residence(municipalities, under_way)
