"""Public-money accounts: one per person, in the person's own name.

An account is held against the reading of the name that is in force after the notices of its day, or, where nothing is
known of the person by then, against the first one known. What does not fit is a conflict for a clerk. The rules are
in docs/accounts.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from processors.fan_out.history import AccountEvent
from processors.fan_out.person_state import AccountInForce, Ledger, PersonState, RefusedAccount

REGISTERED, CHANGED, CLOSED = "REGISTERED", "CHANGED", "CLOSED"
SECOND, OTHER_NAME, NOT_IN_FORCE = "ACCOUNT_SECOND", "ACCOUNT_OTHER_NAME", "ACCOUNT_NOT_IN_FORCE"


def same_name(holder: str, kana: str) -> bool:
    """Whether a bank's reading is the register's; a half-width space is as good as a full-width one, no more."""
    return holder.replace(" ", "\u3000") == kana


def apply_accounts(view: PersonState, events: Iterable[AccountEvent]) -> None:
    """Judges the events of one day, and those that waited for the person to be known."""
    due = sorted((*view.ledger.waiting, *events))
    kana = view.facts.kana if view.facts is not None else None
    if kana is None:
        view.ledger = replace(view.ledger, waiting=tuple(due))
        return
    ledger = replace(view.ledger, waiting=())
    for _, of_day in groupby(due, key=lambda event: event.effective_on):
        ledger = _judge_day(ledger, list(of_day), kana)
    view.ledger = ledger


def _judge_day(ledger: Ledger, events: list[AccountEvent], kana: str) -> Ledger:
    """First what happens to the account in force (it may close for another), then registrations, changes, closings."""
    in_force = ledger.held.account.account if ledger.held is not None and ledger.held.open else None
    ranks = {REGISTERED: 0, CHANGED: 1, CLOSED: 2}
    events.sort(key=lambda e: (e.account.account != in_force, ranks.get(e.account.event, 3), e))
    for event in events:
        ledger = judge(ledger, event, kana)
    return ledger


def judge(ledger: Ledger, event: AccountEvent, kana: str) -> Ledger:
    """The ledger after one event, the person's reading being `kana`."""
    name, held = event.account.account, ledger.held
    in_force = held is not None and held.open and held.account.account == name
    if event.account.event != REGISTERED and not in_force and not _claimed(ledger, name):
        return _refuse(ledger, event, NOT_IN_FORCE)
    if event.account.event == CLOSED:
        return _close(ledger, event, in_force=in_force)
    if not same_name(event.account.holder_kana, kana):
        return _refuse(ledger, event, OTHER_NAME)
    if held is not None and held.open and not in_force:
        return _refuse(ledger, event, SECOND)
    settled = AccountInForce(event.effective_on, True, event.account)
    return replace(ledger, held=settled, refused=_without(ledger, name))


def _claimed(ledger: Ledger, name: str) -> bool:
    """Whether an account is in conflict as one that there is; what is not in force is there by no registration."""
    refused = ledger.refused.get(name)
    return refused is not None and refused.kind != NOT_IN_FORCE


def _close(ledger: Ledger, event: AccountEvent, *, in_force: bool) -> Ledger:
    """A closing ends the account in force, or settles the conflict about another."""
    held, refused = ledger.held, _without(ledger, event.account.account)
    if in_force and held is not None:
        held = AccountInForce(event.effective_on, False, held.account._replace(event=CLOSED))
    return replace(ledger, held=held, refused=refused)


def _refuse(ledger: Ledger, event: AccountEvent, kind: str) -> Ledger:
    refused = RefusedAccount(kind, event.effective_on)
    return replace(ledger, refused={**ledger.refused, event.account.account: refused})


def _without(ledger: Ledger, name: str) -> dict[str, RefusedAccount]:
    return {other: refused for other, refused in ledger.refused.items() if other != name}
