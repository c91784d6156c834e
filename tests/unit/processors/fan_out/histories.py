"""Histories that Hypothesis makes up: three municipalities, five days, every reason, much of it contradictory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from processors.fan_out.history import NOTHING, Account, AccountEvent, Enrolment, Facts, PersonNotice, given
from processors.fan_out.person import Entry
from schemas.reasons import CANCELLABLE, JAPANESE, NEW_THERE, Reason
from schemas.systems import DOMAINS

PLACES = ("011002", "131041", "271004")
DAYS = [date(2026, 4, 1) + timedelta(days=day) for day in range(5)]
NAMES = ("ヤマダ　ハナコ", "サトウ　ハナコ")
ENROLLING = [domain for domain in DOMAINS.values() if domain.enrolment is not None]

_days = st.sampled_from(DAYS)
_places = st.sampled_from(PLACES)
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
def lists(draw: Callable[[Any], Any]) -> list[list[PersonNotice]]:
    """What each municipality lists of one person, in its order, with cancellations of what stands before them."""
    return [_list(draw, place) for place in PLACES]


def _list(draw: Callable[[Any], Any], place: str) -> list[PersonNotice]:
    listed: list[PersonNotice] = []
    for seq in range(1, 1 + draw(st.integers(0, 7))):
        number = f"{place[:5]}-{seq}"
        standing = [
            n for n in listed if n.reason in CANCELLABLE and n.number not in {c.cancels for c in listed}
        ]
        if standing and draw(st.integers(0, 3)) == 0:
            target = draw(st.sampled_from(standing))
            listed.append(
                PersonNotice(place, number, seq, Reason.CANCELLED, draw(_days), cancels=target.number)
            )
        else:
            listed.append(_notice(draw, place, number, seq))
    return listed


def _notice(draw: Callable[[Any], Any], place: str, number: str, seq: int) -> PersonNotice:
    reason, facts = draw(_reasons), draw(_facts)
    new = reason in NEW_THERE
    return PersonNotice(
        place,
        number,
        seq,
        reason,
        draw(_days),
        given(reason, Facts(**facts)) if new or draw(st.booleans()) else NOTHING,
        protected=reason is Reason.BORN and draw(st.booleans()),
        moved_from=draw(_places) if reason is Reason.MOVED_IN else None,
        moved_to=draw(_places) if reason is Reason.MOVED_OUT else None,
    )


_enrolments = st.sampled_from(ENROLLING).flatmap(
    lambda domain: st.builds(Enrolment, st.just(domain.id), _places if domain.municipal else st.none(), _days)
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


@st.composite
def histories(draw: Callable[[Any], Any]) -> tuple[list[list[PersonNotice]], list[Enrolment | AccountEvent]]:
    """The municipalities' lists, and all else that is told of the person."""
    others = draw(st.lists(st.one_of(_enrolments, _accounts), max_size=10, unique=True))
    return draw(lists()), others


@st.composite
def arrivals(draw: Callable[[Any], Any], lists_: list[list[PersonNotice]], others: list[Any]) -> list[Entry]:
    """One order of arrival: each municipality's list in its order, all else anywhere."""
    queues: list[list[Entry]] = [[*listed] for listed in lists_ if listed] + [[other] for other in others]
    arrived: list[Entry] = []
    while queues:
        queue = queues[draw(st.integers(0, len(queues) - 1))]
        arrived.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return arrived
