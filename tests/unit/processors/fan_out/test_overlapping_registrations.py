"""Overlapping registrations of one person, compared with the reference model, which shares no code with the fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.verification.reference.ledger import account_rows, fold_account_events
from infra.verification.reference.notice import AccountEvent as ReferenceAccountEvent
from infra.verification.reference.notice import Enrolment as ReferenceEnrolment
from infra.verification.reference.notice import Notice
from infra.verification.reference.reference_order import PersonalNotice, order_by_effect
from infra.verification.reference.reference_person import Person
from infra.verification.reference.reference_person import fold as reference_fold
from infra.verification.reference.reference_residence import ReferenceResidence
from processors.fan_out.conflicts import conflicts
from processors.fan_out.differences import ACCOUNT, differences, visible_facts
from processors.fan_out.fold import fold
from processors.fan_out.history import (
    Account,
    AccountEvent,
    Enrolment,
    Facts,
    History,
    PersonNotice,
    Settlement,
    changed_facts,
    decisions_of,
    receipt_of,
)
from processors.fan_out.person_state import PersonState
from schemas.reasons import CANCELLABLE, ENDS_RESIDENCE, JAPANESE, NEW_THERE, Reason

MUNICIPALITIES = ("011002", "131041", "271004")
FIRST_DAY = date(2026, 4, 1)
KANA = "ヤマダ　ハナコ"
ENTERING = [
    Reason.FIRST_REGISTERED,
    Reason.MOVED_IN,
    Reason.MOVED_IN,
    Reason.MOVED_IN_FROM_ABROAD,
    Reason.BORN,
]
STAYING = [
    Reason.MOVED_OUT,
    Reason.MOVED_OUT,
    Reason.MOVED_OUT,
    Reason.MOVED_ABROAD,
    Reason.DIED,
    Reason.MOVED_WITHIN,
    Reason.NAME_CHANGED,
    Reason.PROTECTION_BEGUN,
    Reason.PROTECTION_ENDED,
]
DOMAINS = (("child", True), ("care", True), ("pension", False), ("nta", False), ("card", False))


@st.composite
def overlapping(draw: Callable[[Any], Any]) -> History:
    """Draw claims of three municipalities to one person, each by itself a register without contradictions.

    No two municipalities have a notice on the same day: the order within a day has tests of its own.
    """
    notices = [notice for index in range(len(MUNICIPALITIES)) for notice in _draw_register(draw, index)]
    entries = [notice for notice in notices if notice.reason in NEW_THERE]
    settlements = [
        Settlement(entry.municipality, entry.number, draw(st.sampled_from(MUNICIPALITIES)), draw(st.booleans()),
                   receipt_of(draw(st.integers(0, 100)), "in.operator", 0, offset))
        for offset, entry in enumerate(draw(st.lists(st.sampled_from(entries), max_size=2)) if entries else ())
    ]  # fmt: skip
    enrolments = {
        Enrolment(domain, draw(st.sampled_from(MUNICIPALITIES)) if municipal else None, _day(draw, range(60)))
        for domain, municipal in draw(st.lists(st.sampled_from(DOMAINS), max_size=5))
    }
    account = Account("REGISTERED", "one", KANA, "0001", "001", "普通", "1234567")
    accounts = (AccountEvent(_day(draw, range(60)), account),) if draw(st.booleans()) else ()
    return History(tuple(notices), tuple(sorted(enrolments, key=str)), accounts, tuple(settlements))


def _day(draw: Callable[[Any], Any], numbers: range) -> date:
    return FIRST_DAY + timedelta(days=draw(st.sampled_from(numbers)))


def _draw_register(draw: Callable[[Any], Any], index: int) -> list[PersonNotice]:
    """Draw one municipality's register: the person enters, stays, leaves; moves out and deaths may be cancelled."""
    municipality, notices, resident, received_at = MUNICIPALITIES[index], list[PersonNotice](), False, 0
    days = sorted(draw(st.lists(st.sampled_from(range(index, 60, 3)), max_size=6, unique=True)))
    for seq, day in enumerate(days, start=1):
        received_at += draw(st.integers(1, 40))
        last = notices[-1] if notices else None
        cancels = last is not None and last.reason in CANCELLABLE and draw(st.integers(0, 2)) == 0
        reason = Reason.CANCELLED if cancels else draw(st.sampled_from(STAYING if resident else ENTERING))
        notice = PersonNotice(
            municipality,
            f"{municipality[:5]}-{seq}",
            seq,
            reason,
            FIRST_DAY + timedelta(days=day),
            changed_facts(reason, _facts(f"{index}/{seq}")) if not cancels else Facts(),
            protected=reason is Reason.BORN and draw(st.booleans()),
            received=receipt_of(received_at, f"in.juki.{municipality}", 0, seq),
        )
        others = st.sampled_from([other for other in MUNICIPALITIES if other != municipality])
        if reason is Reason.MOVED_IN:
            notice = notice._replace(moved_from=draw(others))
        elif reason is Reason.MOVED_OUT:
            notice = notice._replace(moved_to=draw(st.one_of(others, st.just("999999"))))
        elif cancels and last is not None:
            notice = notice._replace(cancels=last.number)
        notices.append(notice)
        resident = _resident_after(notice, last, resident=resident)
    return notices


def _resident_after(notice: PersonNotice, last: PersonNotice | None, *, resident: bool) -> bool:
    if notice.reason is Reason.CANCELLED:
        return resident or (last is not None and last.reason in ENDS_RESIDENCE)
    return notice.reason not in ENDS_RESIDENCE


def _facts(address: str) -> Facts:
    return Facts("山田　花子", KANA, date(1990, 1, 1), "女", "世帯主", address, address)


def model_of(history: History) -> Person:
    """Return the reference model's fold of a history."""
    cancelled = {
        (n.municipality, n.cancels): (n.received,) for n in history.notices if n.reason is Reason.CANCELLED
    }
    personal = [
        PersonalNotice(n.seq, _reference_notice(n), _reference_facts(n), (n.received,), cancelled.get(n.id))
        for n in history.notices
        if n.reason is not Reason.CANCELLED and (n.id not in cancelled or n.reason in ENDS_RESIDENCE)
    ]
    decisions = decisions_of(history.settlements)
    return reference_fold(
        order_by_effect(personal),
        [ReferenceEnrolment(domain, code, "p", str(since)) for domain, code, since, _ in history.enrolments],
        ReferenceResidence(decisions.preferred, decisions.refused),
    )


def _reference_notice(notice: PersonNotice) -> Notice:
    day = str(notice.effective_on)
    return Notice(
        notice.number,
        notice.municipality,
        JAPANESE[notice.reason],
        day,
        day,
        moved_from=notice.moved_from or "",
        moved_to=notice.moved_to or "",
    )


def _reference_facts(notice: PersonNotice) -> dict[str, str | bool]:
    facts: dict[str, str | bool] = {
        name: str(value) for name, value in notice.facts._asdict().items() if value is not None
    }
    return facts | {"protected": notice.protected}


def rows_of(state: PersonState) -> dict[Any, Any]:
    """Return status, day of effect and visible facts of each row of a folded state."""
    return {
        key: (
            row.status,
            str(row.effective_on),
            {
                name: str(value)
                for name, value in visible_facts(key[0], row, protected=state.protected)._asdict().items()
                if value is not None
            },
        )
        for key, row in state.rows.items()
    }


def model_rows(person: Person) -> dict[Any, Any]:
    """Return the same of the model."""
    rows = {}
    for key, row in person.rows.items():
        columns = row.visible_columns(protected=person.protected)
        status = columns.pop("status")
        rows[key] = (status, row.effective_on, {name: value for name, value in columns.items() if value})
    return rows


@settings(max_examples=600, deadline=None)
@given(overlapping())
def test_the_fold_agrees_with_the_reference_model(history: History) -> None:
    """Rows, the account's recipients, confirmed municipality, protection and conflicts are the same."""
    state, model = fold(history), model_of(history)
    assert state.confirmed == model.residence.confirmed
    assert state.protected == model.protected
    assert rows_of(state) == model_rows(model)
    received = {
        (difference.key, difference.account.status, str(difference.account.effective_on))
        for difference in differences(PersonState(), state)
        if difference.entity == ACCOUNT and difference.account is not None
    }
    events = [ReferenceAccountEvent("p", *_event(event)) for event in history.accounts]
    ledger = fold_account_events(events, model.readings)
    assert received == {
        ((row["domain"], row["municipality"]), row["status"], row["effective_on"])
        for row in account_rows(ledger, model)
    }
    kinds = Counter(conflict.kind for conflict in conflicts("p", state).values())
    open_kinds = Counter(c.kind for c in conflicts("p", state).values() if c.status == "OPEN")
    settled = [claim for claim in model.residence.claims.values() if model.residence.is_decided(claim)]
    unsettled = [claim for claim in model.residence.claims.values() if claim not in settled]
    unconfirmed = [claim for claim in unsettled if claim.municipality != model.residence.confirmed]
    assert open_kinds["REGISTERED_TWICE"] + open_kinds["REGISTRATION_UNCONFIRMED"] == len(unconfirmed)
    assert kinds["DEATH_UNCONFIRMED"] == len(model.unconfirmed_deaths)
    assert kinds["PROTECTION_END_UNCONFIRMED"] == len(model.unconfirmed_protection_ends)


def _event(event: AccountEvent) -> tuple[str, ...]:
    account = event.account
    return (
        account.event,
        account.account,
        str(event.effective_on),
        account.holder_kana,
        account.bank,
        account.branch,
        account.type,
        account.number,
    )
