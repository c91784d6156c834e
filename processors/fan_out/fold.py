"""The fold: a history, in the order of effect, into what the domains must hold.

`fold` takes the whole history, and depends on nothing but its entries. The functions `after_…` extend a fold by one
entry that comes later than all before, and give None where it doesn't: then the history must be folded again. For
every history and entry, an extension equals the fold of the longer history (tests/unit/processors/fan_out).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from processors.fan_out.accounts import apply_accounts
from processors.fan_out.effective_order import order_day
from processors.fan_out.enrolments import apply_enrolment
from processors.fan_out.history import AccountEvent, Enrolment, History, PersonNotice
from processors.fan_out.person_notices import apply_notice
from processors.fan_out.person_state import PersonState

T = TypeVar("T")


def fold(history: History) -> PersonState:
    """What the domains must hold after a history, whatever order its entries arrived in."""
    notices = _by_day([(notice.effective_on, notice) for notice in history.standing()])
    enrolments = _by_day([(enrolment.since, enrolment) for enrolment in history.enrolments])
    accounts = _by_day([(event.effective_on, event) for event in history.accounts])
    view = PersonState()
    for day in sorted({*notices, *enrolments, *accounts}):
        _fold_day(view, day, notices.get(day, []), enrolments.get(day, []), accounts.get(day, []))
    return view


def _by_day(entries: list[tuple[date, T]]) -> dict[date, list[T]]:
    days: dict[date, list[T]] = {}
    for day, entry in entries:
        days.setdefault(day, []).append(entry)
    return days


def _fold_day(
    view: PersonState,
    day: date,
    notices: Sequence[PersonNotice] = (),
    enrolments: Sequence[Enrolment] = (),
    accounts: Sequence[AccountEvent] = (),
) -> None:
    """Folds a day: its notices, then its enrolments, then what happened to accounts."""
    if view.last_day != day:
        view.last_day, view.day_over, view.start_of_day = day, False, view.place()
    for notice in order_day(notices, view.start_of_day):
        apply_notice(view, notice)
    for enrolment in enrolments:  # each has a row of its own: their order doesn't matter
        apply_enrolment(view, enrolment)
    if accounts or (view.ledger.waiting and view.facts is not None):
        apply_accounts(view, accounts)
        view.day_over = True
    view.day_over = view.day_over or bool(enrolments)


def after_notice(
    view: PersonState, notice: PersonNotice, same_day: Sequence[PersonNotice]
) -> PersonState | None:
    """The fold extended by a notice; `same_day` are the notices folded before that take effect on the latest day.

    None where the notice is not the last in the order of effect.
    """
    if view.last_day is not None:
        if notice.effective_on < view.last_day:
            return None
        if notice.effective_on == view.last_day and not _is_last(view, notice, same_day):
            return None
    extended = view.copy()
    _fold_day(extended, notice.effective_on, [notice])
    return extended


def _is_last(view: PersonState, notice: PersonNotice, same_day: Sequence[PersonNotice]) -> bool:
    if view.day_over:
        return False
    before = order_day(same_day, view.start_of_day)
    return order_day([*same_day, notice], view.start_of_day) == [*before, notice]


def after_enrolment(view: PersonState, enrolment: Enrolment) -> PersonState | None:
    """The fold extended by an enrolment that isn't in it; None where notices later than its day are folded."""
    if view.last_day is not None and enrolment.since < view.last_day:
        return None
    extended = view.copy()
    _fold_day(extended, enrolment.since, enrolments=[enrolment])
    return extended


def after_account(view: PersonState, event: AccountEvent, latest: AccountEvent | None) -> PersonState | None:
    """The fold extended by an account's event; `latest` is the last one folded. None where it isn't later."""
    if latest is not None and event.effective_on <= latest.effective_on:
        return None
    if view.last_day is not None and event.effective_on < view.last_day:
        return None
    extended = view.copy()
    _fold_day(extended, event.effective_on, accounts=[event])
    return extended
