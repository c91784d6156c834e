"""The register of one municipality: which submissions it accepts, rejects or recognizes as duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from infra.verification.reference.notice import (
    CANCELLABLE,
    CHANGED_FACTS,
    ENTERING,
    LATE_ALLOWED,
    LEAVING,
    Facts,
    Notice,
    Receipt,
    Submission,
)

#: A notice may take effect at most this many days after it was recorded.
DAYS_AHEAD_MAX = 60


@dataclass
class AcceptedNotice:
    """An accepted notice and its sequence number in the register.

    `persons` are the persons that it concerns, by resident record code, also where the notice names only a household.
    `received` is when its submission was received, `received_on` the day of it.
    """

    seq: int
    notice: Notice
    persons: Mapping[str, Facts]
    received: Receipt = ()
    received_on: str = ""
    cancelled_by: AcceptedNotice | None = None

    @property
    def cancelled(self) -> bool:
        """Whether a later notice cancels this one."""
        return self.cancelled_by is not None

    @property
    def cancelled_in_effect(self) -> bool:
        """Whether it is cancelled, but had been in effect before; always if the day of receipt isn't known."""
        by = self.cancelled_by
        return by is not None and not "" < by.received_on < self.notice.effective_on

    @property
    def effect_order(self) -> tuple[str, int]:
        """Sort key of the order of effect within the municipality: by day, then by sequence number."""
        return self.notice.effective_on, self.seq


@dataclass
class ReferenceRegister:
    """One municipality's register as of the submissions read so far. Pass submissions in order to `submit`."""

    municipality: str
    entries: list[AcceptedNotice] = field(default_factory=list)
    rejections: list[tuple[Submission, str]] = field(default_factory=list)
    duplicates: list[Submission] = field(default_factory=list)
    _identities: set[object] = field(default_factory=set)
    _entry_by_number: dict[str, AcceptedNotice] = field(default_factory=dict)
    _entries_by_person: dict[str, list[AcceptedNotice]] = field(default_factory=dict)
    _past_members: dict[str, set[str]] = field(default_factory=dict)

    def submit(self, submission: Submission, received: Receipt, received_on: str = "") -> None:
        """Accept or reject one submission, or note it as a duplicate of an earlier one."""
        if submission.identity in self._identities:
            self.duplicates.append(submission)
            return
        self._identities.add(submission.identity)
        rejection = submission.fault or self._accept_or_reject(submission.content, received)
        if rejection:
            self.rejections.append((submission, rejection))
        else:
            self.entries[-1].received_on = received_on

    def _accept_or_reject(self, notice: object, received: Receipt) -> str | None:
        """Append `notice` to the register and return None, or return a short rejection code."""
        if not isinstance(notice, Notice):
            return "unreadable"
        if notice.municipality != self.municipality:
            return "other-municipality"
        if notice.number in self._entry_by_number:
            return "number-taken"
        if _days_between(notice.recorded_on, notice.effective_on) > DAYS_AHEAD_MAX:
            return "too-far-ahead"
        if notice.reason == "取消":
            return self._cancel(notice, received)
        persons = notice.persons or dict.fromkeys(self._members(notice.household), notice.to)
        rejection = self._reject_persons(notice, persons)
        if rejection is None:
            self._accept(notice, persons, received)
        return rejection

    def _reject_persons(self, notice: Notice, persons: Mapping[str, Facts]) -> str | None:
        """Return the rejection code of a notice about persons who must, or must not, be residents already."""
        if notice.reason == "出生" and any(code in self._entries_by_person for code in persons):
            return "birth-known"
        if notice.reason in ENTERING:
            return None
        until = (
            (notice.effective_on, len(self.entries))
            if notice.reason in LATE_ALLOWED and notice.persons
            else None
        )
        missing = not persons or any(self._household_of(code, until) is None for code in persons)
        return "resident-unknown" if missing else None

    def _accept(self, notice: Notice, persons: Mapping[str, Facts], received: Receipt) -> None:
        entry = self._append(notice, persons, received)
        for code, facts in persons.items():
            self._entries_by_person.setdefault(code, []).append(entry)
            if "household" in facts:
                self._past_members.setdefault(str(facts["household"]), set()).add(code)

    def _cancel(self, notice: Notice, received: Receipt) -> str | None:
        target = self._entry_by_number.get(notice.cancels)
        if target is None or target.cancelled or target.notice.reason not in CANCELLABLE:
            return "cancels-nothing"
        if any(
            later.effect_order > target.effect_order and not later.cancelled
            for code in target.persons
            for later in self._entries_by_person[code]
        ):
            return "overtaken"
        if not set(notice.persons) <= set(target.persons):
            return "resident-unknown"
        target.cancelled_by = self._append(notice, target.persons, received)
        return None

    def _append(self, notice: Notice, persons: Mapping[str, Facts], received: Receipt) -> AcceptedNotice:
        entry = AcceptedNotice(len(self.entries), notice, persons, received)
        self.entries.append(entry)
        self._entry_by_number[notice.number] = entry
        return entry

    def _members(self, household: str | None) -> Iterable[str]:
        """Return the codes of the household's present members, by all entries so far."""
        past_members = self._past_members.get(household or "", set())
        return sorted(code for code in past_members if self._household_of(code) == household)

    def _household_of(self, code: str, until: tuple[str, int] | None = None) -> str | None:
        """Return a resident's household after all entries, or up to `until` in the order of effect.

        Return None if the person is no resident then.
        """
        household: str | None = None
        for entry in sorted(self._entries_by_person.get(code, ()), key=lambda entry: entry.effect_order):
            reason = entry.notice.reason
            if entry.cancelled or (until and entry.effect_order > until):
                continue
            if reason in LEAVING:
                household = None
            elif "household" in CHANGED_FACTS[reason] and (household or reason in ENTERING):
                household = str(entry.persons[code].get("household", household))
        return household


def _days_between(earlier: str, later: str) -> int:
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days
