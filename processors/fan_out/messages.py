"""Messages to enrolled residents: one per accepted notice that concerns them, never taken back.

Which messages a person has depends on the history alone, not on the order in which it arrived: every notice (also one
cancelled later, also a cancellation) that takes effect after the day of the earliest enrolment of somebody known by
then. A death doesn't count against an enrolment here: a message that went out before the death was listed stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.history import Enrolment, PersonNotice
from schemas.systems import DOMAINS

#: Domains that send messages.
MESSAGING: Final = tuple(domain.id for domain in DOMAINS.values() if domain.message_on)


class ResidentMessage(NamedTuple):
    """A message of one domain about one notice."""

    domain: str
    notice: PersonNotice


def messages_from(domain: str, enrolments: Iterable[Enrolment], known_from: date | None) -> date | None:
    """The day after which notices are told; None where nobody is enrolled whom a notice had made known by then."""
    if known_from is None:
        return None
    return min((e.since for e in enrolments if e.domain == domain and e.since >= known_from), default=None)


def of_notice(notice: PersonNotice, domain: str, since: date | None) -> bool:
    """Whether a person told from then on gets a message of this notice."""
    return since is not None and notice.effective_on > since and notice.reason in DOMAINS[domain].message_on


def messages(
    notices: Iterable[PersonNotice], enrolments: Iterable[Enrolment], known_from: date | None
) -> list[ResidentMessage]:
    """All messages of a history, in the order of effect."""
    listed, enrolled = list(notices), tuple(enrolments)
    return [
        ResidentMessage(domain, notice)
        for domain in MESSAGING
        for since in [messages_from(domain, enrolled, known_from)]
        for notice in sorted(listed, key=_effect)
        if of_notice(notice, domain, since)
    ]


class MessageBasis(NamedTuple):
    """What decides from when a person is told of notices."""

    enrolments: tuple[Enrolment, ...]
    known_from: date | None


def new_messages(
    before: MessageBasis,
    after: MessageBasis,
    notice: PersonNotice | None,
    history: Callable[[], Iterable[PersonNotice]],
) -> Iterator[ResidentMessage]:
    """The messages that one more entry brings; `notice` is that entry, if it is one.

    `history` (all notices, with the new one) is only asked for where an earlier day comes to count.
    """
    # Nearly always few: what a person was enrolled in before is among it.
    enrolled = {enrolment.domain for enrolment in after.enrolments}
    for domain in MESSAGING:
        if domain not in enrolled:
            continue
        old = messages_from(domain, *before)
        new = messages_from(domain, *after)
        if new == old:
            if notice is not None and of_notice(notice, domain, new):
                yield ResidentMessage(domain, notice)
        else:
            for each in sorted(history(), key=_effect):
                fresh = each is notice or not of_notice(each, domain, old)
                if fresh and of_notice(each, domain, new):
                    yield ResidentMessage(domain, each)


def _effect(notice: PersonNotice) -> tuple[date, str, int]:
    return notice.effective_on, notice.municipality, notice.seq


def text_of(notice: PersonNotice) -> str:
    """What the resident reads: the reason and its day, and nothing that a message could give away."""
    day = notice.effective_on
    return f"{notice.reason.japanese}の届出が受理されました（異動日：{day.year}年{day.month}月{day.day}日）。"
