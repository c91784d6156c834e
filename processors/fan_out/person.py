"""A person as the step keeps them: the history, its fold, and how far each domain was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from processors.fan_out.fold import after_account, after_enrolment, after_notice, fold
from processors.fan_out.history import AccountEvent, Enrolment, History, PersonNotice
from processors.fan_out.messages import MessageBasis, ResidentMessage, new_messages
from processors.fan_out.person_state import PersonState
from schemas.reasons import Reason

Entry = PersonNotice | Enrolment | AccountEvent

#: Reads the notices that are kept in chapters.
Older = Callable[[], Sequence[PersonNotice]]

#: Notices kept with the person; when there are more, the older half goes into a chapter.
OPEN_NOTICES: Final = 8


@dataclass(slots=True)
class PersonAggregate:
    """What is kept of a person.

    `notices` are the latest to arrive, `chapters` counts the parts of the history before them, which reach to
    `sealed_until` in the order of effect. `accounts` are in that order. `revisions` are the latest by domain.
    """

    notices: list[PersonNotice] = field(default_factory=list)
    archived_segments: int = 0
    archived_until: date | None = None
    enrolments: list[Enrolment] = field(default_factory=list)
    accounts: list[AccountEvent] = field(default_factory=list)
    cancelled: set[tuple[str, str]] = field(default_factory=set)
    revisions: dict[str, int] = field(default_factory=dict)
    view: PersonState = field(default_factory=PersonState)

    def apply(self, entry: Entry, older: Older) -> list[ResidentMessage] | None:
        """Adds one entry to the history and folds it; the messages it brings, or None for a repetition.

        What comes later than all before extends the fold; all else folds the history again.
        """
        if not isinstance(entry, PersonNotice) and (entry in self.enrolments or entry in self.accounts):
            return None
        told, extended = self._told(), self._extended(entry)
        self._add(entry)
        self.view = self._refolded(older) if extended is None else extended
        notice = entry if isinstance(entry, PersonNotice) else None
        return list(new_messages(told, self._told(), notice, lambda: (*older(), *self.notices)))

    def _told(self) -> MessageBasis:
        return MessageBasis(tuple(self.enrolments), self.view.known_from)

    def _extended(self, entry: Entry) -> PersonState | None:
        if isinstance(entry, Enrolment):
            return after_enrolment(self.view, entry)
        if isinstance(entry, AccountEvent):
            return after_account(self.view, entry, self.accounts[-1] if self.accounts else None)
        if entry.reason is Reason.CANCELLED or entry.id in self.cancelled:
            return None
        if self.archived_until is not None and self.archived_until >= entry.effective_on:
            return None  # after a cancellation, notices of the latest day may be in a chapter
        return after_notice(self.view, entry, self._of_last_day())

    def _of_last_day(self) -> list[PersonNotice]:
        return [
            notice
            for notice in self.notices
            if notice.effective_on == self.view.last_day
            and notice.reason is not Reason.CANCELLED
            and notice.id not in self.cancelled
        ]

    def _refolded(self, older: Older) -> PersonState:
        history = History((*older(), *self.notices), tuple(self.enrolments), tuple(self.accounts))
        return fold(history)

    def _add(self, entry: Entry) -> None:
        if isinstance(entry, Enrolment):
            self.enrolments.append(entry)
        elif isinstance(entry, AccountEvent):
            self.accounts.append(entry)
            self.accounts.sort()
        else:
            self.notices.append(entry)
            if entry.reason is Reason.CANCELLED and entry.cancels is not None:
                self.cancelled.add((entry.municipality, entry.cancels))

    def archive_oldest(self) -> list[PersonNotice]:
        """Takes the older half of too many notices out, for a chapter; none of them is of the latest day."""
        if len(self.notices) <= OPEN_NOTICES:
            return []
        old = [n for n in self.notices[: OPEN_NOTICES // 2] if n.effective_on != self.view.last_day]
        if old:
            taken = {notice.id for notice in old}
            self.notices = [notice for notice in self.notices if notice.id not in taken]
            self.archived_segments += 1
            days = [notice.effective_on for notice in old]
            self.archived_until = max(days if self.archived_until is None else [self.archived_until, *days])
        return old

    def next_revision(self, domain: str) -> int:
        """Counts what a domain is told of this person up."""
        self.revisions[domain] = self.revisions.get(domain, 0) + 1
        return self.revisions[domain]
