"""The fold: from a history, in the order of effect, to the person state.

`fold` takes the whole history, and its result depends on the entries alone. The functions `after_…` extend a state by
one entry that takes effect after all others, and return None if it doesn't: then the history must be folded again. For
every history and entry, the extended state equals the fold of the longer history (tests/unit/processors/fan_out).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from processors.fan_out.accounts import apply_accounts
from processors.fan_out.effective_order import order_day
from processors.fan_out.enrolments import apply_enrolment
from processors.fan_out.history import AccountEvent, Enrolment, History, PersonNotice, decisions_of
from processors.fan_out.life import life_after
from processors.fan_out.person_notices import apply_notice
from processors.fan_out.person_state import DomainRow, PersonState, RowKey

T = TypeVar("T")


#: What each row of a person was from each of its days of effect on.
RowVersions = dict[tuple[RowKey, date], DomainRow]


def fold(history: History) -> PersonState:
    """Return the state after a history, whatever the order in which its entries arrived."""
    return fold_with_versions(history)[0]


def fold_with_versions(history: History) -> tuple[PersonState, RowVersions]:
    """Return the state after a history, and what each row was after the days on which it became another one."""
    notices = _by_day([(notice.effective_on, notice) for notice in history.effective_notices()])
    enrolments = _by_day([(enrolment.since, enrolment) for enrolment in history.enrolments])
    accounts = _by_day([(event.effective_on, event) for event in history.accounts])
    state, versions = PersonState(decisions=decisions_of(history.settlements)), RowVersions()
    for day in sorted({*notices, *enrolments, *accounts}):
        _fold_day(state, day, notices.get(day, []), enrolments.get(day, []), accounts.get(day, []))
        for key, row in state.rows.items():
            if row.effective_on == day:
                versions[key, day] = row
    return state, versions


def _by_day(entries: list[tuple[date, T]]) -> dict[date, list[T]]:
    days: dict[date, list[T]] = {}
    for day, entry in entries:
        days.setdefault(day, []).append(entry)
    return days


def _fold_day(
    state: PersonState,
    day: date,
    notices: Sequence[PersonNotice] = (),
    enrolments: Sequence[Enrolment] = (),
    accounts: Sequence[AccountEvent] = (),
) -> None:
    """Fold one day: its notices, then its enrolments, then its account events."""
    if state.last_day != day:
        state.last_day, state.day_over, state.start_of_day = day, False, state.residence()
    for notice in order_day(notices, state.start_of_day):
        apply_notice(state, notice)
    if notices:
        state.life = life_after(state)
    for enrolment in enrolments:  # Each enrolment has a row of its own, so their order doesn't matter.
        apply_enrolment(state, enrolment)
    if accounts or (state.ledger.pending and state.facts is not None):
        apply_accounts(state, accounts)
        state.day_over = True
    state.day_over = state.day_over or bool(enrolments)


def after_notice(
    state: PersonState, notice: PersonNotice, same_day: Sequence[PersonNotice]
) -> PersonState | None:
    """Return the state extended by a notice; None if the notice isn't the last in the order of effect.

    `same_day` are the notices already folded that take effect on the latest day.
    """
    if state.last_day is not None:
        if notice.effective_on < state.last_day:
            return None
        if notice.effective_on == state.last_day and not _is_last(state, notice, same_day):
            return None
    extended = state.copy()
    _fold_day(extended, notice.effective_on, [notice])
    return extended


def _is_last(state: PersonState, notice: PersonNotice, same_day: Sequence[PersonNotice]) -> bool:
    if state.day_over:
        return False
    before = order_day(same_day, state.start_of_day)
    return order_day([*same_day, notice], state.start_of_day) == [*before, notice]


def after_enrolment(state: PersonState, enrolment: Enrolment) -> PersonState | None:
    """Return the state extended by a new enrolment; None if a later day is folded already."""
    if state.last_day is not None and enrolment.since < state.last_day:
        return None
    extended = state.copy()
    _fold_day(extended, enrolment.since, enrolments=[enrolment])
    return extended


def after_account(state: PersonState, event: AccountEvent, latest: AccountEvent | None) -> PersonState | None:
    """Return the state extended by an account event; None if it isn't later than everything folded.

    `latest` is the last account event folded. Events of one day are ordered together, so one of the same day doesn't
    extend the state.
    """
    if latest is not None and event.effective_on <= latest.effective_on:
        return None
    if state.last_day is not None and event.effective_on < state.last_day:
        return None
    extended = state.copy()
    _fold_day(extended, event.effective_on, accounts=[event])
    return extended
