"""What the fold of a history comes to: registrations, rows of domains, the account, and what contradicts what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.history import Account, AccountEvent, Enrolment, Facts

ACTIVE: Final = "active"
CANDIDATE: Final = "candidate"
CLOSED: Final = "closed"

#: Code of 前住所地 and 転出先 for abroad.
ABROAD_CODE: Final = "999999"

#: Domain, and municipality in municipal domains.
RowKey = tuple[str, str | None]


class Registration(NamedTuple):
    """What one municipality's register says; `since` is the day of the latest entry there."""

    resident: bool
    since: date
    facts: Facts


class Departure(NamedTuple):
    """The latest move out of a municipality, as it says: where to, and the domains that held the person until then.

    `pending` until a move in from there follows.
    """

    to: str | None
    pending: bool
    held: frozenset[str] = frozenset()


class DomainRow(NamedTuple):
    """A domain's row. `facts` keep the address while it is withheld; a closed row has none.

    `effective_on` is the day of the latest change that this domain sees, `opened_on` the day it was last opened.
    """

    status: str
    facts: Facts
    effective_on: date
    opened_on: date

    @property
    def open(self) -> bool:
        """Active or candidate."""
        return self.status != CLOSED


class Residence(NamedTuple):
    """Where a person is: municipalities where resident, and departures (origin, to) still under way."""

    residences: frozenset[str]
    under_way: frozenset[tuple[str, str | None]]


NOWHERE: Final = Residence(frozenset(), frozenset())


class AccountInForce(NamedTuple):
    """The account in force, or (not `open`) the last one that was; `since` is the day of its latest change."""

    since: date
    open: bool
    account: Account


class RefusedAccount(NamedTuple):
    """An account in conflict: the kind, and the day of the event that showed it."""

    kind: str
    since: date


@dataclass(frozen=True, slots=True)
class Ledger:
    """A person's accounts: the one that counts, those in conflict (by id), and events that wait for a name."""

    held: AccountInForce | None = None
    refused: dict[str, RefusedAccount] = field(default_factory=dict)
    waiting: tuple[AccountEvent, ...] = ()


@dataclass(slots=True)
class PersonState:
    """The fold of a history.

    The fold works on a copy of its own; nobody else changes a view. `last_day` is the latest day folded, `dawn` where
    the person was before it; `day_over` says that enrolments or accounts of that day have been folded.
    """

    facts: Facts | None = None
    protected: bool = False
    dead: bool = False
    known_from: date | None = None
    last_day: date | None = None
    day_over: bool = False
    start_of_day: Residence = NOWHERE
    registers: dict[str, Registration] = field(default_factory=dict)
    departures: dict[str, Departure] = field(default_factory=dict)
    rows: dict[RowKey, DomainRow] = field(default_factory=dict)
    missed: tuple[Enrolment, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)

    def copy(self) -> PersonState:
        """A view that can be folded further without a trace in this one."""
        # Written out, as this is done for each record: `replace` takes three times as long.
        return PersonState(
            self.facts,
            self.protected,
            self.dead,
            self.known_from,
            self.last_day,
            self.day_over,
            self.start_of_day,
            dict(self.registers),
            dict(self.departures),
            dict(self.rows),
            self.missed,
            self.ledger,
        )

    def resident_in(self, municipality: str | None) -> bool:
        """Whether that municipality's register has the person as a resident."""
        registration = self.registers.get(municipality) if municipality else None
        return registration is not None and registration.resident

    def place(self) -> Residence:
        """Where the person is now."""
        residences = frozenset(code for code, each in self.registers.items() if each.resident)
        under_way = frozenset((code, each.to) for code, each in self.departures.items() if each.pending)
        return Residence(residences, under_way)
