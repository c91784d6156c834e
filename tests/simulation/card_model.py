"""What becomes of submissions about cards, written down once more: a walk from day to day.

It shares no code with the mesh. The rules are those that `schemas/systems/card.py` declares: at most one card of a
person is active, a void one stays void, one whose last day is over is expired, and what has no effect is a conflict.
What follows from notices it doesn't know, so it leaves out those whose cards began while notices took effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from tests.simulation.card_submissions import CANCELLED, CardSubmission

#: The events in the order in which those of one day take effect, each with what it means.
_MEANINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "CardIssued": {"state": "active", "printed_text": "current", "use_abroad": "no"},
    "CardSuspended": {"state": "suspended"},
    "CardLost": {"state": "lost"},
    "CardFound": {"state": "active"},
    "CardRenewed": {},
    "CardContinued": {},
    "CardTextOutdated": {"printed_text": "to-be-written"},
    "CardVoided": {"state": "void"},
    "CardReturned": {"status": "closed"},
}
_ORDER: Final = list(_MEANINGS)
_AHEAD_MAX: Final = timedelta(60)
#: No notice takes effect on or after this day.
_NOTICES_END: Final = date(2026, 1, 29)


@dataclass(frozen=True)
class Card:
    """A card as its service holds it since the day `since`."""

    since: date
    status: str
    kind: str | None
    state: str
    expires_on: date | None
    printed_text: str
    use_abroad: str

    @property
    def is_held(self) -> bool:
        """Whether it hasn't been returned."""
        return self.status == "active"

    @property
    def is_usable(self) -> bool:
        """Whether it counts among those of which a person has one at most."""
        return self.is_held and self.state == "active"


@dataclass
class CardOutcome:
    """What must be there in the end.

    - `persons`: those whom `rows` and `conflicts` are about.
    - `rows`: by person and serial, the cards on the last day.
    - `conflicts`: why each submission without effect has none, by person, number and day of effect; also of days to
      come.
    - `rejected`: how often a submission of this number was rejected for this reason.
    """

    persons: set[str] = field(default_factory=set)
    rows: dict[tuple[str, str], Card] = field(default_factory=dict)
    conflicts: dict[tuple[str, str, date], str] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)


def expected_cards(submissions: Iterable[CardSubmission], last_day: date) -> CardOutcome:
    """Return the outcome of submissions in the order in which they were received, at the end of a day."""
    outcome = CardOutcome()
    accepted: dict[str, list[CardSubmission]] = {}
    for submission in submissions:
        of_person = accepted.setdefault(submission.code, [])
        reason = _rejection(submission, of_person)
        if reason is None:
            of_person.append(submission)
        else:
            outcome.rejected[submission.number, reason] += 1
    for code, of_person in accepted.items():
        if all(submission.effective_on >= _NOTICES_END for submission in of_person):
            outcome.persons.add(code)
            _Walk(code, outcome).run(_standing(of_person), last_day)
    return outcome


def _rejection(submission: CardSubmission, earlier: Sequence[CardSubmission]) -> str | None:
    """Return why a submission is rejected, given those of its person that were accepted before; None if it isn't."""
    if submission.effective_on > submission.received_on + _AHEAD_MAX:
        return "EFFECTIVE_IN_FUTURE"
    for other in earlier:
        if other.number == submission.number:
            same = other._replace(received_on=submission.received_on) == submission
            return "DUPLICATE" if same else "NUMBER_TAKEN"
    if submission.event == CANCELLED:
        if all(other.number != submission.cancels or other.event == CANCELLED for other in earlier):
            return "CANCELS_UNKNOWN"
        if any(other.cancels == submission.cancels for other in earlier):
            return "CANCELS_CANCELLED"
    return None


def _standing(accepted: Sequence[CardSubmission]) -> list[CardSubmission]:
    """Return the submissions that aren't cancelled, in the order of effect."""
    cancelled = {submission.cancels for submission in accepted if submission.event == CANCELLED}
    standing = [each for each in accepted if each.event != CANCELLED and each.number not in cancelled]
    # The order of receipt decides between equal events of a day, because sorting is stable.
    return sorted(standing, key=lambda each: (each.effective_on, _ORDER.index(each.event)))


class _Walk:
    """The walk through the days of one person's cards, by serial."""

    def __init__(self, code: str, outcome: CardOutcome) -> None:
        self._code, self._outcome = code, outcome
        self._cards: dict[str, Card] = {}

    def run(self, standing: Sequence[CardSubmission], last_day: date) -> None:
        """Walk to the last event."""
        days = {day for each in standing for day in _days_of(each)}
        for day in sorted(days):
            morning = dict(self._cards)
            self._expire(day)
            for submission in standing:
                if submission.effective_on == day:
                    reason = self._take_effect(submission)
                    if reason is not None:
                        self._outcome.conflicts[self._code, submission.number, day] = reason
                    self._expire(day)
            for serial, card in self._cards.items():
                before = morning.get(serial)
                if before is not None and replace(card, since=before.since) == before:
                    self._cards[serial] = before
            if day <= last_day:
                self._outcome.rows |= {(self._code, serial): card for serial, card in self._cards.items()}

    def _expire(self, day: date) -> None:
        """Expire the cards whose last day is over."""
        for serial, card in self._cards.items():
            is_over = card.expires_on is not None and card.expires_on < day
            if is_over and card.is_held and card.state != "void":
                self._cards[serial] = replace(card, state="expired", since=day)

    def _take_effect(self, submission: CardSubmission) -> str | None:
        """Let an event happen to its card. Return why it has no effect; None if it has one."""
        serial, event, day = submission.serial or "", submission.event, submission.effective_on
        card = self._cards.get(serial)
        is_held = card is not None and card.is_held
        if card is not None and card.state == "void":
            return "FINAL"
        if is_held is (event == "CardIssued"):
            return "OPEN_ALREADY" if is_held else "NOT_OPEN"
        if card is None or event == "CardIssued":
            card = Card(day, "active", submission.kind, "", submission.expires_on, "", "")
        if event == "CardRenewed":
            card = replace(card, expires_on=submission.expires_on)
        changed = replace(card, since=day, **_MEANINGS[event])
        others = (each for other, each in self._cards.items() if other != serial)
        if changed.is_usable and any(other.is_usable for other in others):
            return "AT_MOST_ONE"
        self._cards[serial] = changed
        return None


def _days_of(submission: CardSubmission) -> Iterable[date]:
    """Yield the days on which a submission may change something."""
    yield submission.effective_on
    if submission.expires_on is not None:
        yield submission.expires_on + timedelta(1)
