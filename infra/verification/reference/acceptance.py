"""What one municipality's list comes to: each hand-over accepted, refused or a duplicate, at its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from infra.verification.reference.notice import (
    CANCELLABLE,
    CHANGES,
    LATE,
    LEAVING,
    NEW,
    Facts,
    Notice,
    Submission,
)

DAYS_AHEAD_MAX = 60


@dataclass
class AcceptedNotice:
    """An accepted notice at its place in its municipality's list; `persons` is whom it concerns, by code."""

    place: int
    notice: Notice
    persons: Mapping[str, Facts]
    cancelled: bool = False

    @property
    def position(self) -> tuple[str, int]:
        """Order of effect within the municipality: by day, and as listed within the day."""
        return self.notice.effective_on, self.place


@dataclass
class ReferenceRegister:
    """One municipality's list, as far as it was read. Hand-overs are judged one after the other by `take`."""

    municipality: str
    listed: list[AcceptedNotice] = field(default_factory=list)
    refusals: list[tuple[Submission, str]] = field(default_factory=list)
    duplicates: list[Submission] = field(default_factory=list)
    _seen: set[object] = field(default_factory=set)
    _by_number: dict[str, AcceptedNotice] = field(default_factory=dict)
    _of_person: dict[str, list[AcceptedNotice]] = field(default_factory=dict)
    _once_in: dict[str, set[str]] = field(default_factory=dict)

    def take(self, hand_over: Submission) -> None:
        """Judge one hand-over, at the end of what was taken before."""
        if hand_over.identity in self._seen:
            self.duplicates.append(hand_over)
            return
        self._seen.add(hand_over.identity)
        refusal = hand_over.fault or self._judge(hand_over.content)
        if refusal:
            self.refusals.append((hand_over, refusal))

    def _judge(self, notice: object) -> str | None:
        """Accept `notice`, or say in a short code why not."""
        if not isinstance(notice, Notice):
            return "unreadable"
        if notice.municipality != self.municipality:
            return "other-municipality"
        if notice.number in self._by_number:
            return "number-taken"
        if _days(notice.recorded_on, notice.effective_on) > DAYS_AHEAD_MAX:
            return "too-far-ahead"
        persons = notice.persons or dict.fromkeys(self._members(notice.household), notice.to)
        return self._unknown(notice, persons) or self._accept(notice, persons)

    def _unknown(self, notice: Notice, persons: Mapping[str, Facts]) -> str | None:
        if notice.reason == "出生" and any(code in self._of_person for code in persons):
            return "birth-known"
        if notice.reason in NEW:
            return None
        until = (notice.effective_on, len(self.listed)) if notice.reason in LATE and notice.persons else None
        missing = not persons or any(self._household_of(code, until) is None for code in persons)
        return "resident-unknown" if missing else None

    def _accept(self, notice: Notice, persons: Mapping[str, Facts]) -> str | None:
        if notice.reason == "取消":
            return self._cancel(notice, persons)
        listed = self._list(notice, persons)
        for code, facts in persons.items():
            self._of_person.setdefault(code, []).append(listed)
            if "household" in facts:
                self._once_in.setdefault(str(facts["household"]), set()).add(code)
        return None

    def _cancel(self, notice: Notice, persons: Mapping[str, Facts]) -> str | None:
        target = self._by_number.get(notice.cancels)
        if target is None or target.cancelled or target.notice.reason not in CANCELLABLE:
            return "cancels-nothing"
        if any(
            later.position > target.position and not later.cancelled
            for code in target.persons
            for later in self._of_person[code]
        ):
            return "overtaken"
        target.cancelled = True
        self._list(notice, {**persons, **target.persons})
        return None

    def _list(self, notice: Notice, persons: Mapping[str, Facts]) -> AcceptedNotice:
        listed = AcceptedNotice(len(self.listed), notice, persons)
        self.listed.append(listed)
        self._by_number[notice.number] = listed
        return listed

    def _members(self, household: str | None) -> Iterable[str]:
        """Who is resident in the household now, as listed so far."""
        once = self._once_in.get(household or "", set())
        return sorted(code for code in once if self._household_of(code) == household)

    def _household_of(self, code: str, until: tuple[str, int] | None = None) -> str | None:
        """The household of a resident, after all listed or up to a position; None where no resident."""
        household: str | None = None
        for listed in sorted(self._of_person.get(code, ()), key=lambda listed: listed.position):
            if listed.cancelled or (until and listed.position > until):
                continue
            if listed.notice.reason in LEAVING:
                household = None
            elif "household" in CHANGES[listed.notice.reason] and (household or listed.notice.reason in NEW):
                household = str(listed.persons[code].get("household", household))
        return household


def _days(earlier: str, later: str) -> int:
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days
