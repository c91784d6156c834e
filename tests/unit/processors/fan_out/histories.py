"""Histories drawn by Hypothesis: three municipalities, five days, every reason, many contradictions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from processors.fan_out.history import (
    NOTHING,
    Account,
    AccountEvent,
    Enrolment,
    Facts,
    PersonNotice,
    Settlement,
    changed_facts,
    receipt_of,
)
from processors.fan_out.person import Entry
from schemas.reasons import CANCELLABLE, JAPANESE, NEW_THERE, Reason
from schemas.systems import DOMAINS

MUNICIPALITIES = ("011002", "131041", "271004")
DAYS = [date(2026, 4, 1) + timedelta(days=day) for day in range(5)]
NAMES = ("ヤマダ　ハナコ", "サトウ　ハナコ")
ENROLLING = [domain for domain in DOMAINS.values() if domain.enrolment is not None]

_days = st.sampled_from(DAYS)
_municipalities = st.sampled_from(MUNICIPALITIES)
_facts = st.fixed_dictionaries(
    {
        "name": st.just("名前"),
        "kana": st.sampled_from(NAMES),
        "birth_date": st.just(date(1990, 1, 1)),
        "sex": st.just("女"),
        "relationship": st.sampled_from(["世帯主", "子"]),
        "household": st.sampled_from(["h1", "h2"]),
        "address": st.sampled_from(["一丁目", "二丁目"]),
    }
)
_reasons = st.sampled_from(
    [Reason.MOVED_IN, Reason.MOVED_OUT] * 4
    + [reason for reason in JAPANESE if reason is not Reason.CANCELLED]
)


@st.composite
def registers(draw: Callable[[Any], Any]) -> list[list[PersonNotice]]:
    """Draw what each municipality's register has of one person, in order, with cancellations of earlier notices."""
    return [_draw_register(draw, municipality) for municipality in MUNICIPALITIES]


def _draw_register(draw: Callable[[Any], Any], municipality: str) -> list[PersonNotice]:
    notices: list[PersonNotice] = []
    received_at = 0
    for seq in range(1, 1 + draw(st.integers(0, 7))):
        received_at += draw(st.integers(0, 3))
        received = receipt_of(received_at, f"in.juki.{municipality}", 0, seq)
        number = f"{municipality[:5]}-{seq}"
        cancellable = [
            n for n in notices if n.reason in CANCELLABLE and n.number not in {c.cancels for c in notices}
        ]
        if cancellable and draw(st.integers(0, 3)) == 0:
            target = draw(st.sampled_from(cancellable))
            notices.append(
                PersonNotice(
                    municipality,
                    number,
                    seq,
                    Reason.CANCELLED,
                    draw(_days),
                    cancels=target.number,
                    received=received,
                )
            )
        else:
            notices.append(_draw_notice(draw, municipality, number, seq)._replace(received=received))
    return notices


def _draw_notice(draw: Callable[[Any], Any], municipality: str, number: str, seq: int) -> PersonNotice:
    reason, facts = draw(_reasons), draw(_facts)
    new = reason in NEW_THERE
    return PersonNotice(
        municipality,
        number,
        seq,
        reason,
        draw(_days),
        changed_facts(reason, Facts(**facts)) if new or draw(st.booleans()) else NOTHING,
        protected=reason is Reason.BORN and draw(st.booleans()),
        moved_from=draw(_municipalities) if reason is Reason.MOVED_IN else None,
        moved_to=draw(_municipalities) if reason is Reason.MOVED_OUT else None,
    )


_enrolments = st.sampled_from(ENROLLING).flatmap(
    lambda domain: st.builds(
        Enrolment,
        st.just(domain.id),
        _municipalities if domain.municipal else st.none(),
        _days,
        st.just(date.min),
    )
)
_accounts = st.builds(
    AccountEvent,
    _days,
    st.builds(
        Account,
        st.sampled_from(["REGISTERED", "REGISTERED", "CHANGED", "CLOSED"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from([*NAMES, NAMES[0].replace("　", " ")]),
        bank=st.sampled_from(["0001", "0009"]),
    ),
)


_settlements = st.builds(
    lambda municipality, seq, registered_in, taken_back, received: Settlement(
        municipality,
        f"{municipality[:5]}-{seq}",
        registered_in,
        taken_back,
        receipt_of(received, "in.operator", 0, received),
    ),
    _municipalities,
    st.integers(1, 3),
    _municipalities,
    st.booleans(),
    st.integers(0, 1_000_000),
)


@st.composite
def histories(
    draw: Callable[[Any], Any],
) -> tuple[list[list[PersonNotice]], list[Enrolment | AccountEvent | Settlement]]:
    """Draw the municipalities' registers, and the person's enrolments, account events and settlements."""
    others = draw(st.lists(st.one_of(_enrolments, _accounts), max_size=10, unique=True))
    settlements = draw(st.lists(_settlements, max_size=2, unique_by=lambda s: s.received))
    return draw(registers()), [*others, *settlements]


@st.composite
def arrivals(
    draw: Callable[[Any], Any], registers_: list[list[PersonNotice]], others: list[Any]
) -> list[Entry]:
    """Draw an order of arrival: each register in its order, all else anywhere."""
    queues: list[list[Entry]] = [[*notices] for notices in registers_ if notices] + [
        [other] for other in others
    ]
    arrived: list[Entry] = []
    while queues:
        queue = queues[draw(st.integers(0, len(queues) - 1))]
        arrived.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return arrived
