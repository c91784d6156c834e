"""A person's public-money accounts: the rules of docs/accounts.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from infra.verification.reference.notice import AccountEvent
from infra.verification.reference.reference_person import Person

NOT_IN_FORCE, OTHER_NAME, SECOND = "ACCOUNT_NOT_IN_FORCE", "ACCOUNT_OTHER_NAME", "ACCOUNT_SECOND"
LEDGER = "portal"
PAYING = ("local-tax", "child", "pension")

_HAPPENED = ("REGISTERED", "CHANGED", "CLOSED")
_DETAILS = ("holder_kana", "bank", "branch", "type", "number")


@dataclass
class Ledger:
    """The account in force, or the one closed last, `since` a day; and by account the kind and day of its conflict."""

    latest: AccountEvent | None = None
    open: bool = False
    since: str = ""
    conflicts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def in_force(self) -> str | None:
        """Its id."""
        return self.latest.account if self.latest and self.open else None

    def take(self, event: AccountEvent, reading: str) -> None:
        """One event, next in order; `reading` is the name it is judged against."""
        kind = self._conflict(event, reading)
        if kind:
            self.conflicts[event.account] = (kind, event.effective_on)
            return
        self.conflicts.pop(event.account, None)
        if event.event != "CLOSED":
            self.latest, self.open, self.since = event, True, event.effective_on
        elif event.account == self.in_force:
            self.open, self.since = False, event.effective_on

    def _conflict(self, event: AccountEvent, reading: str) -> str | None:
        if event.event != "REGISTERED" and not self._knows(event.account):
            return NOT_IN_FORCE
        if event.event == "CLOSED":
            return None
        if event.holder_kana.replace(" ", "\u3000") != reading:
            return OTHER_NAME
        return SECOND if self.in_force not in (None, event.account) else None

    def _knows(self, account: str) -> bool:
        kind, _ = self.conflicts.get(account, (NOT_IN_FORCE, ""))
        return account == self.in_force or kind != NOT_IN_FORCE


def ledger_of(events: Iterable[AccountEvent], readings: Mapping[str, str]) -> Ledger:
    """All events of a person; `readings` are those after the notices of each day that had any, by day."""
    ledger = Ledger()
    by_day = sorted(set(events), key=lambda event: event.effective_on)
    for day, of_day in groupby(by_day, key=lambda event: event.effective_on):
        if readings:
            reading = readings[max((known for known in readings if known <= day), default=min(readings))]
            for event in _in_order(of_day, ledger.in_force):
                ledger.take(event, reading)
        else:
            ledger.conflicts.update({event.account: (OTHER_NAME, day) for event in of_day})
    return ledger


def _in_order(of_day: Iterable[AccountEvent], in_force: str | None) -> list[AccountEvent]:
    return sorted(
        of_day,
        key=lambda event: (
            event.account != in_force,
            _HAPPENED.index(event.event),
            event.account,
            *(getattr(event, name) for name in _DETAILS),
        ),
    )


def rows_of(ledger: Ledger, person: Person) -> Iterable[dict[str, str | None]]:
    """The rows of the tables `account`, each with its domain, municipality and day of effect."""
    if ledger.latest is None:
        return
    told = {"status": "active" if ledger.open else "closed"}
    told |= {name: getattr(ledger.latest, name) for name in _DETAILS}
    ids = {"account": ledger.latest.account}
    yield {"domain": LEDGER, "municipality": None, **ids, **told, "effective_on": ledger.since}
    for row in person.rows.values():
        there = row.domain in PAYING and row.status != "closed"
        if there and (ledger.open or row.open_since <= ledger.since):
            day = max(ledger.since, row.open_since)
            yield {"domain": row.domain, "municipality": row.municipality, **told, "effective_on": day}
