"""Public-money accounts: one per person, in the person's own name. The rules are in docs/accounts.md.

The holder's name of an account is compared with the reading of the person's name that is valid after the notices of
that day, or, if nothing is known of the person by then, with the first reading known later. An account that breaks a
rule becomes a conflict for a clerk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from processors.entities.timeline import Version
from processors.fan_out.history import AccountEvent
from processors.fan_out.person_state import AccountConflict, AccountInForce, Ledger, LifePeriod, PersonState

REGISTERED, CHANGED, CLOSED = "REGISTERED", "CHANGED", "CLOSED"
SECOND, OTHER_NAME, NOT_IN_FORCE = "ACCOUNT_SECOND", "ACCOUNT_OTHER_NAME", "ACCOUNT_NOT_IN_FORCE"


def is_same_name(holder: str, kana: str) -> bool:
    """Return whether a bank's reading equals the register's; only the width of spaces may differ."""
    return holder.replace(" ", "\u3000") == kana


def apply_accounts(state: PersonState, events: Iterable[AccountEvent]) -> None:
    """Apply the account events of one day, and those pending because nothing was known of the person."""
    due = sorted((*state.ledger.pending, *events))
    kana = state.facts.kana if state.facts is not None else None
    if kana is None:
        state.ledger = replace(state.ledger, pending=tuple(due))
        return
    ledger = replace(state.ledger, pending=())
    for _, of_day in groupby(due, key=lambda event: event.effective_on):
        ledger = _apply_day(ledger, list(of_day), kana)
    state.ledger = ledger


def _apply_day(ledger: Ledger, events: list[AccountEvent], kana: str) -> Ledger:
    """Return the ledger after the events of one day.

    Events of the account in force come first, because it may be closed in favour of another one; then registrations,
    changes and closures.
    """
    latest = ledger.latest
    in_force = latest.account.account if latest is not None and latest.open else None
    ranks = {REGISTERED: 0, CHANGED: 1, CLOSED: 2}
    events.sort(key=lambda e: (e.account.account != in_force, ranks.get(e.account.event, 3), e))
    for event in events:
        ledger = apply_event(ledger, event, kana)
    return ledger


def account_versions(events: Sequence[AccountEvent], life: Sequence[LifePeriod]) -> list[Version]:
    """Return the versions of the account in force, or closed last, from all account events and the person's life.

    The last one is what the fold has as `latest`.
    """
    known = [period for period in life if period.facts is not None and period.facts.kana is not None]
    ledger, versions = Ledger(), list[Version]()
    for day, of_day in groupby(sorted(events) if known else (), key=lambda event: event.effective_on):
        facts = next((period.facts for period in reversed(known) if period.begins <= day), known[0].facts)
        ledger = _apply_day(ledger, list(of_day), (facts and facts.kana) or "")
        if ledger.latest is not None:
            version = Version(ledger.latest.since, ledger.latest.open, ledger.latest.account[2:])
            if not versions or versions[-1] != version:
                versions.append(version)
    return versions


def apply_event(ledger: Ledger, event: AccountEvent, kana: str) -> Ledger:
    """Return the ledger after one event; `kana` is the reading of the person's name."""
    account_id, latest = event.account.account, ledger.latest
    in_force = latest is not None and latest.open and latest.account.account == account_id
    known = in_force or _has_conflict_of_known_account(ledger, account_id)
    if event.account.event != REGISTERED and not known:
        return _with_conflict(ledger, event, NOT_IN_FORCE)
    if event.account.event == CLOSED:
        return _close(ledger, event, in_force=in_force)
    if not is_same_name(event.account.holder_kana, kana):
        return _with_conflict(ledger, event, OTHER_NAME)
    if latest is not None and latest.open and not in_force:
        return _with_conflict(ledger, event, SECOND)
    current = AccountInForce(event.effective_on, True, event.account)
    return replace(ledger, latest=current, in_conflict=_conflicts_without(ledger, account_id))


def _has_conflict_of_known_account(ledger: Ledger, account_id: str) -> bool:
    """Return whether the account is in conflict, and not because it isn't known (NOT_IN_FORCE)."""
    conflict = ledger.in_conflict.get(account_id)
    return conflict is not None and conflict.kind != NOT_IN_FORCE


def _close(ledger: Ledger, event: AccountEvent, *, in_force: bool) -> Ledger:
    """Return the ledger after a closure: of the account in force, or of an account in conflict, which resolves it."""
    latest, conflicts = ledger.latest, _conflicts_without(ledger, event.account.account)
    if in_force and latest is not None:
        latest = AccountInForce(event.effective_on, False, latest.account._replace(event=CLOSED))
    return replace(ledger, latest=latest, in_conflict=conflicts)


def _with_conflict(ledger: Ledger, event: AccountEvent, kind: str) -> Ledger:
    conflict = AccountConflict(kind, event.effective_on)
    return replace(ledger, in_conflict={**ledger.in_conflict, event.account.account: conflict})


def _conflicts_without(ledger: Ledger, account_id: str) -> dict[str, AccountConflict]:
    return {other: conflict for other, conflict in ledger.in_conflict.items() if other != account_id}
