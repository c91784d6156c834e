"""The person aggregate: the history, its fold, and the latest revision in each domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Final, NamedTuple

from processors.entities.causes import Life
from processors.fan_out.fold import after_account, after_enrolment, after_notice, fold
from processors.fan_out.history import (
    AccountEvent,
    Enrolment,
    History,
    PersonNotice,
    Receipt,
    Settlement,
    cancellations_of,
    effective_notices,
    received_on,
)
from processors.fan_out.life import life_of
from processors.fan_out.messages import MessageBasis, ResidentMessage, new_messages
from processors.fan_out.person_state import PersonState
from schemas.reasons import Reason

Entry = PersonNotice | Enrolment | AccountEvent | Settlement

#: Reads the notices in archived segments.
ReadArchive = Callable[[], Sequence[PersonNotice]]

#: Notices stored with the person. If there are more, the older half moves into an archived segment.
NOTICES_MAX: Final = 8


class KnownLife(NamedTuple):
    """A person's life as known at the end of a day, from what had been received until then."""

    day: date
    life: Life


def _nothing_archived() -> Sequence[PersonNotice]:
    return ()


@dataclass(slots=True)
class PersonAggregate:
    """A person's history and what is derived from it.

    `notices` are the latest to arrive; earlier ones are in `archived_segments` segments, which reach to
    `archived_until` in the order of effect. `accounts` are in the order of effect. `cancelled` are municipality and
    number of notices that a cancellation names, each with the receipt of the cancellation. `revisions` are the latest
    by domain. `entities` are the declared entities of which something is known or will be: ids, each with the next day
    on which something changes by itself. `state` is the fold of all but these.
    """

    notices: list[PersonNotice] = field(default_factory=list)
    archived_segments: int = 0
    archived_until: date | None = None
    enrolments: list[Enrolment] = field(default_factory=list)
    accounts: list[AccountEvent] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    cancelled: dict[tuple[str, str], Receipt] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    entities: dict[str, date | None] = field(default_factory=dict)
    state: PersonState = field(default_factory=PersonState)

    def apply(self, entry: Entry, read_archive: ReadArchive) -> list[ResidentMessage] | None:
        """Add an entry to the history and fold it. Return the new messages, or None if the entry is a repetition.

        An entry that takes effect after all others extends the fold. For any other, the whole history is folded again.
        """
        if not isinstance(entry, PersonNotice) and (entry in self.enrolments or entry in self.accounts):
            return None
        enrolments_before, known_before = tuple(self.enrolments), self.state.known_from
        extended = self._extended(entry)
        self._add(entry)
        self.state = self.refolded(read_archive) if extended is None else extended
        if not self.enrolments:
            return []
        notice = entry if isinstance(entry, PersonNotice) else None
        return list(
            new_messages(
                MessageBasis(enrolments_before, known_before),
                MessageBasis(tuple(self.enrolments), self.state.known_from),
                notice,
                lambda: (*read_archive(), *self.notices),
            )
        )

    def _extended(self, entry: Entry) -> PersonState | None:
        """Return the state extended by the entry; None if the whole history must be folded again."""
        if isinstance(entry, Enrolment):
            return after_enrolment(self.state, entry)
        if isinstance(entry, AccountEvent):
            return after_account(self.state, entry, self.accounts[-1] if self.accounts else None)
        if isinstance(entry, Settlement):
            return None
        if entry.reason is Reason.CANCELLED or entry.id in self.cancelled:
            return None
        if self.archived_until is not None and self.archived_until >= entry.effective_on:
            return None  # After a cancellation, an archived segment may have notices of the latest day.
        return after_notice(self.state, entry, self._notices_of_last_day())

    def _notices_of_last_day(self) -> list[PersonNotice]:
        of_day = [notice for notice in self.notices if notice.effective_on == self.state.last_day]
        return effective_notices(of_day, self.cancelled)

    def refolded(self, read_archive: ReadArchive) -> PersonState:
        """Return the fold of the whole history."""
        return fold(
            History(
                (*read_archive(), *self.notices),
                tuple(self.enrolments),
                tuple(self.accounts),
                tuple(self.settlements),
            )
        )

    def _add(self, entry: Entry) -> None:
        if isinstance(entry, Enrolment):
            self.enrolments.append(entry)
        elif isinstance(entry, AccountEvent):
            self.accounts.append(entry)
            self.accounts.sort()
        elif isinstance(entry, Settlement):
            self.settlements.append(entry)
        else:
            self.notices.append(entry)
            if entry.reason is Reason.CANCELLED:
                self.cancelled |= cancellations_of([entry])

    def archive_oldest(self) -> list[PersonNotice]:
        """Remove and return the older half of the notices if there are too many, for an archived segment.

        Notices of the latest day stay: an entry of that day may still extend the fold, which needs all of them.
        """
        if len(self.notices) <= NOTICES_MAX:
            return []
        oldest = [n for n in self.notices[: NOTICES_MAX // 2] if n.effective_on != self.state.last_day]
        if oldest:
            archived = {notice.id for notice in oldest}
            self.notices = [notice for notice in self.notices if notice.id not in archived]
            self.archived_segments += 1
            days = [notice.effective_on for notice in oldest]
            self.archived_until = max(days if self.archived_until is None else [self.archived_until, *days])
        return oldest

    def life(self, read_archive: ReadArchive) -> Life:
        """Return the person's life, as far as declared entities follow from it."""
        cancelled = (
            [n for n in (*read_archive(), *self.notices) if n.id in self.cancelled] if self.cancelled else []
        )
        return life_of(self.state.life, cancelled, self.cancelled)

    def known_lives(self, read_archive: ReadArchive) -> list[KnownLife]:
        """Return the person's life as known at the end of each day since which another one was known."""
        entries: list[PersonNotice | Settlement] = [*read_archive(), *self.notices, *self.settlements]
        entries.sort(key=lambda entry: entry.received)
        by_day = [
            (day, list(of_day)) for day, of_day in groupby(entries, lambda entry: received_on(entry.received))
        ]
        known, lives = PersonAggregate(), list[KnownLife]()
        for day, of_day in by_day[:-1]:
            for entry in of_day:
                known.apply(entry, _nothing_archived)
            lives.append(KnownLife(day, known.life(_nothing_archived)))
        lives += [KnownLife(day, self.life(read_archive)) for day, _ in by_day[-1:]]
        before = [None, *(each.life for each in lives)]
        return [each for each, life_before in zip(lives, before, strict=False) if each.life != life_before]

    @property
    def may_have_had_other_birth_date(self) -> bool:
        """Whether notices gave more than one birth date, or that isn't known without reading archived ones."""
        dates = {notice.facts.birth_date for notice in self.notices} - {None}
        return self.archived_segments > 0 or len(dates) > 1

    def next_revision(self, domain: str) -> int:
        """Increment and return this person's revision in `domain`."""
        self.revisions[domain] = self.revisions.get(domain, 0) + 1
        return self.revisions[domain]
