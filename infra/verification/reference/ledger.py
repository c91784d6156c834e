"""A person's public-money accounts, by the rules of docs/accounts.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from infra.verification.reference.notice import AccountEvent
from infra.verification.reference.reference_person import Person

NOT_IN_FORCE, OTHER_NAME, SECOND = "ACCOUNT_NOT_IN_FORCE", "ACCOUNT_OTHER_NAME", "ACCOUNT_SECOND"
#: The domain that has the account of every person.
LEDGER = "portal"
#: Domains with an account for each open row.
PAYING = ("local-tax", "child", "pension")

#: Event types in their order within a day.
_EVENT_ORDER = ("REGISTERED", "CHANGED", "CLOSED")
_DETAILS = ("holder_kana", "bank", "branch", "type", "number")


@dataclass
class Ledger:
    """A person's account in force, or the one closed last, and the conflicts.

    `latest` is the event that the account's values are from; `since` is the day from which the account is open or
    closed; `conflicts` maps an account to the kind and day of its conflict.
    """

    latest: AccountEvent | None = None
    open: bool = False
    since: str = ""
    conflicts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def in_force(self) -> str | None:
        """ID of the account in force."""
        return self.latest.account if self.latest and self.open else None

    def apply(self, event: AccountEvent, reading: str) -> None:
        """Apply the next event in order. `reading` is the person's reading, which the holder's must equal."""
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
        """Return the kind of conflict that the event causes, or None."""
        if event.event != "REGISTERED" and not self._is_known(event.account):
            return NOT_IN_FORCE
        if event.event == "CLOSED":
            return None
        if event.holder_kana.replace(" ", "\u3000") != reading:
            return OTHER_NAME
        return SECOND if self.in_force not in (None, event.account) else None

    def _is_known(self, account: str) -> bool:
        kind, _ = self.conflicts.get(account, (NOT_IN_FORCE, ""))
        return account == self.in_force or kind != NOT_IN_FORCE


def fold_account_events(events: Iterable[AccountEvent], readings: Mapping[str, str]) -> Ledger:
    """Return the ledger after all events of a person.

    `readings`: day with notices -> the person's reading after them, for every such day.
    """
    ledger = Ledger()
    by_day = sorted(set(events), key=lambda event: event.effective_on)
    for day, events_of_day in groupby(by_day, key=lambda event: event.effective_on):
        if readings:
            reading = readings[max((known for known in readings if known <= day), default=min(readings))]
            for event in _order_within_day(events_of_day, ledger.in_force):
                ledger.apply(event, reading)
        else:
            ledger.conflicts.update({event.account: (OTHER_NAME, day) for event in events_of_day})
    return ledger


def accounts_by_day(
    events: Iterable[AccountEvent], readings: Mapping[str, str]
) -> Iterator[tuple[str, bool, Mapping[str, str | None]]]:
    """Yield since when which account is open, or closed, each time that another one is or its values change."""
    received = sorted(set(events), key=lambda event: event.effective_on)
    seen: list[tuple[str, bool, Mapping[str, str | None]]] = []
    for day in sorted({event.effective_on for event in received}):
        ledger = fold_account_events([event for event in received if event.effective_on <= day], readings)
        if ledger.latest is not None:
            values = {name: getattr(ledger.latest, name) for name in _DETAILS}
            account = (ledger.since, ledger.open, values)
            if account not in seen[-1:]:
                yield account
                seen.append(account)


def _order_within_day(events: Iterable[AccountEvent], in_force: str | None) -> list[AccountEvent]:
    return sorted(
        events,
        key=lambda event: (
            event.account != in_force,
            _EVENT_ORDER.index(event.event),
            event.account,
            *(getattr(event, name) for name in _DETAILS),
        ),
    )


def account_rows(ledger: Ledger, person: Person) -> Iterable[dict[str, str | None]]:
    """Yield the rows of the tables `account`, each with domain, municipality and day of effect."""
    if ledger.latest is None:
        return
    columns = {"status": "active" if ledger.open else "closed"}
    columns |= {name: getattr(ledger.latest, name) for name in _DETAILS}
    ids = {"account": ledger.latest.account}
    yield {"domain": LEDGER, "municipality": None, **ids, **columns, "effective_on": ledger.since}
    for row in person.rows.values():
        if row.domain not in PAYING or row.status == "closed":
            continue
        confirmed, since = person.confirmed_since
        entitled_since = row.open_since if row.municipality is None else max(row.open_since, since)
        if row.municipality in (None, confirmed) and (ledger.open or entitled_since <= ledger.since):
            day = max(ledger.since, entitled_since)
            yield {"domain": row.domain, "municipality": row.municipality, **columns, "effective_on": day}
