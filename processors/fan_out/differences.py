"""What goes out to the domains: the rows and accounts that differ between two views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.domains import ADDRESS, ORDER, SEEN, sees
from processors.fan_out.history import Account, Facts
from processors.fan_out.person_state import AccountInForce, DomainRow, PersonState, RowKey
from schemas.systems import DOMAINS

#: Told of accounts where they hold the person, and (the ledger) always.
PAYING: Final = frozenset(domain.id for domain in DOMAINS.values() if domain.paying)
LEDGERS: Final = tuple(d.id for d in DOMAINS.values() if d.has_accounts and not d.paying)

PERSON: Final = "PERSON"
ACCOUNT: Final = "ACCOUNT"


class Difference(NamedTuple):
    """A row to be set (`row` or `account` given) or deleted (neither), of one entity of a domain."""

    entity: str
    key: RowKey
    row: DomainRow | None = None
    account: DomainAccount | None = None


class DomainAccount(NamedTuple):
    """The account as a domain is told it: active or closed, since when."""

    status: str
    account: Account
    effective_on: date


def _order(key: RowKey) -> tuple[int, str]:
    return ORDER[key[0]], key[1] or ""


def differences(before: PersonState, after: PersonState) -> list[Difference]:
    """Rows first, then accounts, each in the order of the declarations."""
    return [*_rows(before, after), *_accounts(before, after)]


def _rows(before: PersonState, after: PersonState) -> Iterator[Difference]:
    changed = [key for key in before.rows.keys() | after.rows.keys() if _differs(key, before, after)]
    for key in sorted(changed, key=_order):
        yield Difference(PERSON, key, after.rows.get(key))


def _differs(key: RowKey, before: PersonState, after: PersonState) -> bool:
    old, new = before.rows.get(key), after.rows.get(key)
    if old is new and before.protected == after.protected:
        return False
    if old is None or new is None:
        return old is not new
    if old.effective_on != new.effective_on:
        return True
    seen = sees(key[0], old, protected=before.protected)
    return seen != sees(key[0], new, protected=after.protected)


def facts_seen(domain: str, row: DomainRow, *, protected: bool) -> Facts:
    """The facts that the rule gives a domain; no address while the person is protected."""
    shown = SEEN[domain]
    hidden = ADDRESS if protected else None
    return Facts._make(
        [fact if index in shown and index != hidden else None for index, fact in enumerate(row.facts)]
    )


def _accounts(before: PersonState, after: PersonState) -> Iterator[Difference]:
    if before.ledger.held is None and after.ledger.held is None:
        return
    old, new = told_accounts(before), told_accounts(after)
    for key in sorted((key for key in old.keys() | new.keys() if old.get(key) != new.get(key)), key=_order):
        yield Difference(ACCOUNT, key, account=new.get(key))


def told_accounts(view: PersonState) -> Mapping[RowKey, DomainAccount]:
    """The account, by who is told of it: the ledgers, and the paying domains that hold the person now.

    Who began to hold the person after an account was closed isn't told of that one.
    """
    held = view.ledger.held
    if held is None:
        return {}
    told = {(domain, None): _told(held, held.since) for domain in LEDGERS}
    holding = (item for item in view.rows.items() if item[0][0] in PAYING and item[1].open)
    return told | {
        key: _told(held, max(held.since, row.opened_on))
        for key, row in holding
        if held.open or row.opened_on <= held.since
    }


def _told(held: AccountInForce, day: date) -> DomainAccount:
    return DomainAccount("active" if held.open else "closed", held.account, day)
