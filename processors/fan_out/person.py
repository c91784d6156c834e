"""The person aggregate: the history, its fold, and the latest revision in each domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Final, NamedTuple

from processors.entities.causes import Life
from processors.entities.rows import IS_ACCOUNT_READ, RowContext
from processors.entities.timeline import Timeline
from processors.fan_out.accounts import account_versions
from processors.fan_out.fold import (
    RowVersions,
    after_account,
    after_enrolment,
    after_notice,
    fold_with_versions,
)
from processors.fan_out.history import (
    AccountEvent,
    Enrolment,
    History,
    PersonNotice,
    Receipt,
    Settlement,
    cancellations_of,
    effective_notices,
    known_on,
    received_on,
)
from processors.fan_out.life import life_of, residence_of
from processors.fan_out.messages import MessageBasis, ResidentMessage, new_messages
from processors.fan_out.person_notices import begin_measure
from processors.fan_out.person_state import PersonState
from processors.fan_out.waiting_entries import DatedEntry, WaitingEntry, next_due
from schemas.reasons import NEW_THERE, Reason

Entry = PersonNotice | Enrolment | AccountEvent | Settlement

#: Reads the notices in archived segments.
ReadArchive = Callable[[], Sequence[PersonNotice]]

#: Notices stored with the person. If there are more, the older half moves into an archived segment.
NOTICES_MAX: Final = 8


class Applied(NamedTuple):
    """What came of an entry: the new messages, and whether it is the last one in the order of effect and in time.

    Then nothing that was known before becomes another: neither what the rows were, nor since when that was known.
    `versions` is what the rows were if the whole history was folded again, None otherwise.
    """

    messages: list[ResidentMessage]
    is_last: bool
    versions: RowVersions | None = None


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
    on which something changes by itself; and the departure (`processors.fan_out.departures`). `waiting` are the entries
    whose day hasn't come. `state` is the fold of all but these; only a protection measure that one of them begins is in
    it. `known_until` is the latest day on which an entry from which rows follow is known, None if there is none.
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
    waiting: list[WaitingEntry] = field(default_factory=list)
    state: PersonState = field(default_factory=PersonState)
    known_until: date | None = None

    def apply(self, entry: Entry, read_archive: ReadArchive) -> Applied | None:
        """Add an entry to the history and fold it. Return None if the entry is a repetition.

        An entry that takes effect after all others extends the fold. For any other, the whole history is folded again.
        """
        if self._has(entry):
            return None
        basis_before = self._message_basis()
        is_last, versions = self._add(entry, self._extended(entry), read_archive)
        return Applied(self._new_messages(basis_before, entry, read_archive), is_last, versions)

    def keep_waiting(self, entry: DatedEntry, read_archive: ReadArchive) -> Applied | None:
        """Add an entry whose day hasn't come. Return None if the entry is a repetition.

        If it begins a protection measure, that begins at once.
        """
        if self._has(entry):
            return None
        basis_before = self._message_basis()
        self.waiting.append(WaitingEntry(entry))
        if isinstance(entry, PersonNotice) and entry.begins_protection:
            self.state = self.refolded(read_archive)
        return Applied(self._new_messages(basis_before, entry, read_archive), is_last=False)

    def next_due(self, day: date) -> WaitingEntry | None:
        """Return the first in the order of effect of the entries whose day has come; None if none waits any more."""
        return next_due(self.waiting, day, self.state.residence(), self.cancelled)

    def release(self, waiting: WaitingEntry, read_archive: ReadArchive) -> Applied:
        """Fold an entry that `next_due` returned. Its messages were published when it was received."""
        extended = self._extended(waiting.entry)
        self.waiting.remove(waiting)
        return Applied([], *self._add(waiting.entry, extended, read_archive))

    def cancelled_while_waiting(self, cancellation: PersonNotice) -> WaitingEntry | None:
        """Return the entry that a cancellation names if it waits."""
        cancelled = cancellations_of([cancellation])
        return next(
            (
                each
                for each in self.waiting
                if isinstance(each.entry, PersonNotice) and each.entry.id in cancelled
            ),
            None,
        )

    def _has(self, entry: Entry) -> bool:
        """Return whether an enrolment or account event is in the history, known on any day. A notice is in it once."""
        if isinstance(entry, Enrolment):
            waiting = (each.entry for each in self.waiting if isinstance(each.entry, Enrolment))
            return any(entry[:3] == known[:3] for known in (*self.enrolments, *waiting))
        if isinstance(entry, PersonNotice):
            return False
        return entry in self.accounts or any(each.entry == entry for each in self.waiting)

    def _message_basis(self) -> MessageBasis:
        """Return what determines the messages: those of what waits are published when it is received."""
        known_from = self.state.known_from
        if not self.waiting:
            return MessageBasis(tuple(self.enrolments), known_from)
        entries = [each.entry for each in self.waiting]
        if known_from is None:
            arrivals = (
                each for each in entries if isinstance(each, PersonNotice) and each.reason in NEW_THERE
            )
            known_from = min((each.effective_on for each in arrivals), default=None)
        enrolments = (each for each in entries if isinstance(each, Enrolment))
        return MessageBasis((*self.enrolments, *enrolments), known_from)

    def _new_messages(
        self, before: MessageBasis, entry: Entry, read_archive: ReadArchive
    ) -> list[ResidentMessage]:
        after = self._message_basis()
        if not after.enrolments:
            return []
        notice = entry if isinstance(entry, PersonNotice) else None
        return list(
            new_messages(
                before, after, notice, lambda: (*read_archive(), *self.notices, *self._waiting_notices())
            )
        )

    @property
    def lacks_history(self) -> bool:
        """Whether it is from before histories of rows: it has entries, but not the day since which they are known."""
        has_entries = bool(self.notices or self.enrolments or self.settlements or self.archived_segments)
        return self.known_until is None and has_entries

    def row_entries(self, read_archive: ReadArchive) -> list[PersonNotice | Enrolment | Settlement]:
        """Return all entries from which rows follow."""
        return [*read_archive(), *self.notices, *self.enrolments, *self.settlements]

    @property
    def _has_measure_ahead(self) -> bool:
        """Whether the state has a protection measure of a notice whose day hasn't come."""
        return bool(self.waiting) and any(notice.begins_protection for notice in self._waiting_notices())

    def _waiting_notices(self) -> list[PersonNotice]:
        return [each.entry for each in self.waiting if isinstance(each.entry, PersonNotice)]

    def _extended(self, entry: Entry) -> PersonState | None:
        """Return the state extended by the entry; None if the whole history must be folded again."""
        if self._has_measure_ahead or isinstance(entry, Settlement):
            return None
        if isinstance(entry, Enrolment):
            return after_enrolment(self.state, entry)
        if isinstance(entry, AccountEvent):
            return after_account(self.state, entry, self.accounts[-1] if self.accounts else None)
        if entry.reason is Reason.CANCELLED or entry.id in self.cancelled:
            return None
        if self.archived_until is not None and self.archived_until >= entry.effective_on:
            return None  # After a cancellation, an archived segment may have notices of the latest day.
        return after_notice(self.state, entry, self._notices_of_last_day())

    def _notices_of_last_day(self) -> list[PersonNotice]:
        of_day = [notice for notice in self.notices if notice.effective_on == self.state.last_day]
        return effective_notices(of_day, self.cancelled)

    def refolded(self, read_archive: ReadArchive) -> PersonState:
        """Return the fold of the whole history, and in it the protection measures that notices that wait begin."""
        return self._refolded(read_archive)[0]

    def _refolded(self, read_archive: ReadArchive) -> tuple[PersonState, RowVersions]:
        state, versions = fold_with_versions(
            History(
                (*read_archive(), *self.notices),
                tuple(self.enrolments),
                tuple(self.accounts),
                tuple(self.settlements),
            )
        )
        for notice in sorted(self._waiting_notices(), key=lambda notice: (notice.effective_on, notice.id)):
            if notice.begins_protection:
                begin_measure(state, notice)
        return state, versions

    def _add(
        self, entry: Entry, extended: PersonState | None, read_archive: ReadArchive
    ) -> tuple[bool, RowVersions | None]:
        """Add an entry to what is folded; `extended` is the state after it, None if all must be folded again.

        Return whether it is the last one, in the order of effect and in time, and what the rows were if all was folded.
        """
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
        is_known_last = self._is_known_last(entry)
        if extended is not None:
            self.state = extended
            return is_known_last, None
        self.state, versions = self._refolded(read_archive)
        return False, versions

    def _is_known_last(self, entry: Entry) -> bool:
        """Return whether nothing is known later than an entry, and note on which day it is known."""
        if isinstance(entry, AccountEvent):
            return True
        day = known_on(entry)
        if self.known_until is not None and day < self.known_until:
            return False
        self.known_until = day
        return True

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
        life = life_of(self.state.life, cancelled, self.cancelled)
        if IS_ACCOUNT_READ and self.accounts:
            return life._replace(accounts=account_versions(self.accounts, self.state.life))
        return life

    @property
    def residence(self) -> Life:
        """The life without causes and facts: all that there is to know for what depends on the residence alone."""
        return residence_of(self.state.life)

    @property
    def life_known_until(self) -> date | None:
        """The latest day on which something is known that the life follows from; None if that isn't known."""
        return None if self.lacks_history else (self.known_until or date.min)

    @property
    def only_day_received(self) -> date | None:
        """The day on which all that the life follows from was received; None if it isn't one day, or not certain."""
        if self.archived_segments or self.settlements or not self.notices:
            return None
        days = {received_on(notice.received) for notice in self.notices}
        return days.pop() if len(days) == 1 else None

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

    def row_context(self, day: date, timelines: Mapping[str, Timeline]) -> RowContext:
        """Return what the rows of the person's entities depend on besides these, on a day."""
        state = self.state
        return RowContext(
            day,
            state.protected,
            timelines,
            state.enrolment_in,
            state.ever_protected,
            state.protection_changed_on,
        )

    @property
    def may_have_had_other_birth_date(self) -> bool:
        """Whether notices gave more than one birth date, or that isn't known without reading archived ones."""
        dates = {notice.facts.birth_date for notice in self.notices} - {None}
        return self.archived_segments > 0 or len(dates) > 1

    def next_revision(self, domain: str) -> int:
        """Increment and return this person's revision in `domain`."""
        self.revisions[domain] = self.revisions.get(domain, 0) + 1
        return self.revisions[domain]
