"""The rules of fan-out for entries ahead of their day: they wait, and take effect on it, each in its own case."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from processors.fan_out.differences import PERSON
from processors.fan_out.entries import PersonChange
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.history import PersonNotice
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person import Entry
from processors.fan_out.person_cache import PersonCache
from processors.fan_out.person_state import PersonState
from processors.fan_out.row_history import applied_to_rows
from processors.fan_out.waiting_entries import DatedEntry, WaitingEntry, first_day, is_due
from schemas.reasons import Reason


class PublishAffected(Protocol):
    """Publishes what differs of declared entities of a person whose state has changed by an entry."""

    def __call__(self, row: int, code: str, before: PersonState, entry: Entry, *, is_last: bool) -> None:
        """Publish it as caused by the record in a row; `is_last` is whether the entry comes after all others."""


class WaitingRules:
    """The rules for the waiting entries of the persons of a batch. The agenda has a person's first day."""

    def __init__(
        self,
        outputs: FanOutOutputs,
        persons: PersonCache,
        clock: PartitionClock,
        publish_affected: PublishAffected,
    ) -> None:
        self._outputs, self._persons, self._clock = outputs, persons, clock
        self._publish_affected = publish_affected

    def is_due(self, code: str) -> bool:
        """Return whether anything of a person waits for a day that has come."""
        return is_due(self._persons.peek(code).waiting, self._clock.day)

    def keep(self, row: int, change: PersonChange, entry: DatedEntry) -> None:
        """Let an entry wait until its day, and publish what doesn't wait: messages, and a protection measure."""
        person = self._persons.get(change.person)
        before, first = person.state, first_day(person.waiting)
        read_archive = self._persons.archive_of(change.person)
        applied = person.keep_waiting(entry, read_archive)
        done = applied and applied_to_rows(entry, applied, person, before, read_archive)
        self._outputs.add(row, change, person, before, done)
        if applied is None:
            return
        if person.state is not before:
            self._publish_affected(row, change.person, before, entry, is_last=False)
        if not (isinstance(entry, PersonNotice) and entry.id in person.cancelled):
            person.waiting[-1] = WaitingEntry(entry, self._outputs.wait(row, change.effective_on))
        self._plan_release(change.person, first)

    def release(self, row: int, code: str) -> None:
        """Let those of the person's entries take effect that have waited for a day that has come."""
        person, day, read_archive = self._persons.peek(code), self._clock.day, self._persons.archive_of(code)
        first = first_day(person.waiting)
        while (due := person.next_due(day)) is not None:
            self._persons.get(code)
            before = person.state
            applied = person.release(due, read_archive)
            notice = due.entry if isinstance(due.entry, PersonNotice) else None
            if notice is not None and notice.id in person.cancelled:
                notice = None  # Its case doesn't wait any more.
            row_of_entry = self._outputs.row_of_earlier(row, code, notice)
            if notice is not None:
                self._outputs.end_waiting(row_of_entry, due.changes, due.day)
            done = applied_to_rows(due.entry, applied, person, before, read_archive)
            self._outputs.add_refolded(row_of_entry, code, person, before, done._replace(deleted_on=day))
            self._publish_affected(row_of_entry, code, before, due.entry, is_last=applied.is_last)
        self._plan_release(code, first)

    def end_of_cancelled(self, row: int, code: str, entry: Entry) -> None:
        """Note, if an entry cancels a notice that waits, that nothing waits in its case any more."""
        if not isinstance(entry, PersonNotice) or entry.reason is not Reason.CANCELLED:
            return
        waiting = self._persons.peek(code).cancelled_while_waiting(entry)
        if waiting is not None and isinstance(waiting.entry, PersonNotice):
            row_of_entry = self._outputs.row_of_earlier(row, code, waiting.entry)
            self._outputs.end_waiting(row_of_entry, waiting.changes, waiting.day)

    def _plan_release(self, code: str, before: date | None) -> None:
        """Have the first day on the agenda for which anything of the person waits; `before` is the one it was."""
        after = first_day(self._persons.peek(code).waiting)
        self._persons.entities.plan(code, PERSON, before, after)
