"""Messages to enrolled residents: one per accepted notice that concerns them, and never withdrawn.

The messages of a person depend on the history alone, not on the order in which it arrived. A notice has a message if
it takes effect after the day of the person's earliest enrolment; an enrolment counts only if a notice had made the
person known by its day. Cancelled notices and cancellations have messages too. Unlike elsewhere, an enrolment after the
death counts here: a message published before the notice of the death arrived stays valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.history import Enrolment, PersonNotice
from schemas.systems import DOMAINS

#: Domains that send messages.
MESSAGING: Final = tuple(domain.id for domain in DOMAINS.values() if domain.has_messages)


class ResidentMessage(NamedTuple):
    """A message of one domain about one notice."""

    domain: str
    notice: PersonNotice


def messages_after(domain: str, enrolments: Iterable[Enrolment], known_from: date | None) -> date | None:
    """Return the day after which notices have messages; None if no enrolment counts."""
    if known_from is None:
        return None
    return min((e.since for e in enrolments if e.domain == domain and e.since >= known_from), default=None)


def is_due(notice: PersonNotice, domain: str, after: date | None) -> bool:
    """Return whether a notice has a message, given the day after which notices have messages."""
    return after is not None and notice.effective_on > after and notice.reason in DOMAINS[domain].message_on


def messages(
    notices: Iterable[PersonNotice], enrolments: Iterable[Enrolment], known_from: date | None
) -> list[ResidentMessage]:
    """Return all messages of a history in the order of effect."""
    in_order, all_enrolments = sorted(notices, key=_order_of_effect), tuple(enrolments)
    return [
        ResidentMessage(domain, notice)
        for domain in MESSAGING
        for after in [messages_after(domain, all_enrolments, known_from)]
        for notice in in_order
        if is_due(notice, domain, after)
    ]


class MessageBasis(NamedTuple):
    """The part of a person that determines from which day notices have messages."""

    enrolments: tuple[Enrolment, ...]
    known_from: date | None


def new_messages(
    before: MessageBasis,
    after: MessageBasis,
    notice: PersonNotice | None,
    read_notices: Callable[[], Iterable[PersonNotice]],
) -> Iterator[ResidentMessage]:
    """Yield the messages that one more history entry causes.

    `notice` is that entry, None if it isn't a notice. `read_notices` returns all notices with the new one; it is only
    called if the first day with messages has changed.
    """
    # Nearly always few domains. Enrolments are never removed, so those of `before` are among them.
    enrolled = {enrolment.domain for enrolment in after.enrolments}
    for domain in MESSAGING:
        if domain not in enrolled:
            continue
        old = messages_after(domain, *before)
        new = messages_after(domain, *after)
        if new == old:
            if notice is not None and is_due(notice, domain, new):
                yield ResidentMessage(domain, notice)
        else:
            for candidate in sorted(read_notices(), key=_order_of_effect):
                unsent = candidate is notice or not is_due(candidate, domain, old)
                if unsent and is_due(candidate, domain, new):
                    yield ResidentMessage(domain, candidate)


def _order_of_effect(notice: PersonNotice) -> tuple[date, str, int]:
    return notice.effective_on, notice.municipality, notice.seq


def text_of(notice: PersonNotice) -> str:
    """Return the text for the resident: the reason and its day, and nothing that could be sensitive."""
    day = notice.effective_on
    return f"{notice.reason.japanese}の届出が受理されました（異動日：{day.year}年{day.month}月{day.day}日）。"
