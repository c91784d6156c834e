"""The differences between two states of a person that the domains receive: rows and accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.domains import DOMAIN_ORDER, VISIBLE_FACTS, visible_values
from processors.fan_out.history import Account, Facts
from processors.fan_out.person_state import AccountInForce, DomainRow, PersonState, RowKey
from schemas.systems import DOMAINS

#: Domains that receive the account of a person with an open row.
PAYING: Final = frozenset(domain.id for domain in DOMAINS.values() if domain.paying)
#: Domains that receive every account.
LEDGERS: Final = tuple(domain.id for domain in DOMAINS.values() if domain.has_accounts and not domain.paying)

PERSON: Final = "PERSON"
PERSON_HISTORY: Final = "PERSON_HISTORY"
ACCOUNT: Final = "ACCOUNT"


class Difference(NamedTuple):
    """A row of one entity of a domain: to be upserted (`row` or `account` is set) or deleted (neither)."""

    entity: str
    key: RowKey
    row: DomainRow | None = None
    account: DomainAccount | None = None


class DomainAccount(NamedTuple):
    """The account as a domain receives it, with its status (active or closed) and the day of the latest change."""

    status: str
    account: Account
    effective_on: date


def _order(key: RowKey) -> tuple[int, str]:
    return DOMAIN_ORDER[key[0]], key[1] or ""


def differences(before: PersonState, after: PersonState) -> list[Difference]:
    """Return the differences: rows first, then accounts, each in the order of the declarations."""
    return [*_rows(before, after), *_accounts(before, after)]


def _rows(before: PersonState, after: PersonState) -> Iterator[Difference]:
    same_protection = before.protected == after.protected
    changed = [
        key
        for key, new in after.rows.items()
        if not (same_protection and before.rows.get(key) is new) and _differs(key, before, after)
    ]
    changed += [key for key in before.rows if key not in after.rows]
    if len(changed) > 1:
        changed.sort(key=_order)
    for key in changed:
        yield Difference(PERSON, key, after.rows.get(key))


def _differs(key: RowKey, before: PersonState, after: PersonState) -> bool:
    old, new = before.rows.get(key), after.rows.get(key)
    if old is None or new is None:
        return old is not new
    if old.effective_on != new.effective_on or old.status != new.status:
        return True
    if old.facts is new.facts and before.protected == after.protected:
        return False
    old_values = visible_values(key[0], old, protected=before.protected)
    return old_values != visible_values(key[0], new, protected=after.protected)


#: For each domain whether it may receive each of the facts; None if it may receive all.
_MAY_SEE: Final[Mapping[str, tuple[bool, ...] | None]] = {
    domain: None
    if len(visible) == len(Facts._fields)
    else tuple(index in visible for index in range(len(Facts._fields)))
    for domain, visible in VISIBLE_FACTS.items()
}


def visible_facts(domain: str, row: DomainRow, *, protected: bool) -> Facts:
    """Return the facts that a domain may receive, without the address of a protected person."""
    facts = row.facts._replace(address=None) if protected else row.facts
    may_see = _MAY_SEE[domain]
    if may_see is None:
        return facts
    return Facts._make([fact if seen else None for fact, seen in zip(facts, may_see, strict=True)])


def _accounts(before: PersonState, after: PersonState) -> Iterator[Difference]:
    if before.ledger.latest is None and after.ledger.latest is None:
        return
    old, new = _accounts_by_row(before), _accounts_by_row(after)
    for key in sorted((key for key in old.keys() | new.keys() if old.get(key) != new.get(key)), key=_order):
        yield Difference(ACCOUNT, key, account=new.get(key))


def _accounts_by_row(state: PersonState) -> Mapping[RowKey, DomainAccount]:
    """Return the account for each recipient: the ledgers, and the paying domains with an open row of the person.

    A paying domain whose row was opened after the account was closed doesn't receive it; nor does a municipality whose
    registration of the person isn't the confirmed one.
    """
    latest = state.ledger.latest
    if latest is None:
        return {}
    of_ledgers = {(domain, None): _domain_account(latest, latest.since) for domain in LEDGERS}
    paying_rows = [item for item in state.rows.items() if item[0][0] in PAYING and item[1].open]
    entitled_since = {key: _entitled_since(state, key, row) for key, row in paying_rows}
    return of_ledgers | {
        key: _domain_account(latest, max(latest.since, since))
        for key, since in entitled_since.items()
        if since is not None and (latest.open or since <= latest.since)
    }


def _entitled_since(state: PersonState, key: RowKey, row: DomainRow) -> date | None:
    """Return since when a paying domain may have the account of a person with this open row; None: it may not."""
    municipality = key[1]
    if municipality is None:
        return row.opened_on
    confirmed_on = state.registers[municipality].confirmed_on if municipality in state.registers else None
    return None if confirmed_on is None else max(row.opened_on, confirmed_on)


def _domain_account(latest: AccountInForce, day: date) -> DomainAccount:
    return DomainAccount("active" if latest.open else "closed", latest.account, day)
