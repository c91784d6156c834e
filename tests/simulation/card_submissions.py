"""Random submissions about the cards of a city's residents, in the order in which they arrive."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

CANCELLED: Final = "Cancelled"
#: Days that begin after the first one while a history runs.
DAYS: Final = 4
FIRST_DAY: Final = date(2026, 3, 26)
LAST_DAY: Final = FIRST_DAY + timedelta(DAYS)

_PERSONS: Final = 5
#: The first day of effect of a person's cards, counted from the first day: after all notices, or before them. Of the
#: latter, some are void while a history runs, 90 days after a move.
_BEGINS: Final = (-50, -50, -120)
#: Other days of effect. Few of them, so that events meet on one day; 60 is the last allowed.
_EFFECTIVE_AFTER: Final = (-30, -3, 0, 1, 2, 2, 3, 4, 4, 5, 20, 60, 90)
#: When cards expire.
_EXPIRE_AFTER: Final = (-10, 1, 2, 3, 400, 400)
_EVENTS: Final = (
    "CardSuspended",
    "CardContinued",
    "CardLost",
    "CardLost",
    "CardFound",
    "CardFound",
    "CardRenewed",
    "CardTextOutdated",
    "CardVoided",
    "CardReturned",
    "CardIssued",
)


class CardSubmission(NamedTuple):
    """One submission. `code` is the resident record code, `cancels` the number of the one that it takes back."""

    received_on: date
    number: str
    event: str
    code: str
    effective_on: date
    serial: str | None = None
    kind: str | None = None
    expires_on: date | None = None
    cancels: str | None = None

    @property
    def row(self) -> dict[str, str | None]:
        """The columns of schema `submission-card`."""
        given = {
            name: value and str(value) for name, value in self._asdict().items() if name != "received_on"
        }
        return given | {"recorded_on": str(FIRST_DAY)}


def draw_card_submissions(residents: Sequence[str], seed: int) -> list[CardSubmission]:
    """Return submissions about cards of some residents, the same for a seed; each arrives on one of the days.

    Most cards are issued, and something happens to them later. But events arrive in any order, so a card may be lost
    before it is known. Some arrive twice, or under a number that is taken, or are cancelled, or are too far ahead.
    """
    chance = random.Random(f"cards {seed}")  # noqa: S311 - repeatable on purpose
    drawn = [
        event for code in chance.sample(residents, _PERSONS) for event in _events_of_person(chance, code)
    ]
    arriving = [
        (position, submission)
        for number, event in enumerate(drawn)
        for position, submission in _arrivals(chance, event._replace(number=f"c-{number}"))
    ]
    return [
        submission._replace(received_on=FIRST_DAY + timedelta(int(position * DAYS)))
        for position, submission in sorted(arriving, key=lambda arrival: arrival[0])
    ]


def _events_of_person(chance: random.Random, code: str) -> Iterator[CardSubmission]:
    possible_days = (*_EFFECTIVE_AFTER, *(chance.choice(_BEGINS),) * 8)
    for serial in ("S1", "S2")[: chance.randint(1, 2)]:
        days = sorted(chance.choices(possible_days, k=chance.randint(1, 4)))
        events = [chance.choice(_EVENTS) for _ in days]
        if chance.random() < 0.9:
            events[0] = "CardIssued"
        for event, after in zip(events, days, strict=True):
            effective_on = FIRST_DAY + timedelta(after)
            yield _with_fields(chance, CardSubmission(FIRST_DAY, "", event, code, effective_on, serial))


def _with_fields(chance: random.Random, submission: CardSubmission) -> CardSubmission:
    if submission.event == "CardIssued":
        submission = submission._replace(kind=chance.choice(("standard", "express")))
    if submission.event in ("CardIssued", "CardRenewed"):
        submission = submission._replace(expires_on=FIRST_DAY + timedelta(chance.choice(_EXPIRE_AFTER)))
    return submission


def _arrivals(chance: random.Random, submission: CardSubmission) -> Iterator[tuple[float, CardSubmission]]:
    """Yield a submission with the moment of its arrival (0 to 1), and what it brings about."""
    yield chance.random(), submission
    if chance.random() < 0.1:
        yield chance.random(), submission
    if chance.random() < 0.05:
        yield chance.random(), submission._replace(effective_on=submission.effective_on - timedelta(1))
    for again in range(chance.choice((0, 0, 0, 0, 0, 1, 1, 2))):
        number = f"{submission.number}-x{again}"
        cancellation = CardSubmission(FIRST_DAY, number, CANCELLED, submission.code, FIRST_DAY)
        yield chance.random(), cancellation._replace(cancels=submission.number)
