"""Random submissions about certificates and certifications of care, as lines of the files that their systems submit.

With the cards they make timelines of every kind: events that arrive late, ahead of their day, twice, under a number
that is taken or cancelled; expiries; what follows from a card and from the notices about the person.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from tests.simulation.card_submissions import CANCELLED, DAYS, FIRST_DAY, CardSubmission

#: Days ahead of which intake rejects an event.
AHEAD_MAX: Final = timedelta(60)

_PERSONS: Final = 6
#: Days of effect, counted from the first day: before, amid and after the notices, while the history runs, ahead.
_EFFECTIVE_AFTER: Final = (-125, -95, -85, -30, -3, 0, 1, 2, 3, 4, 5, 60, 90)
#: The last day of what expires, counted from the first day.
_LAST_DAY_AFTER: Final = (-40, 0, 1, 1, 2, 2, 3, 400)
#: The events of each kind of fact, those that open it first.
_CERTIFICATE: Final = (
    "CertificateIssued",
    "CertificateSuspended",
    "CertificateResumed",
    "CertificateRevoked",
    "CertificateDeleted",
)
_CERTIFICATION: Final = ("CareCertified", "CareLevelChanged", "CareCertificationEnded")
_INSTITUTION: Final = ("InstitutionEntered", "InstitutionLeft")


class EntitySubmission(NamedTuple):
    """One submission: a line of the file of its system, and of its municipality if it is a municipal one."""

    received_on: date
    system: str
    municipality: str | None
    line: Mapping[str, Any]

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"events_{self.system}{f'_{self.municipality}' if self.municipality else ''}.jsonl"

    @property
    def text(self) -> str:
        """The line as JSON."""
        return json.dumps(self.line, ensure_ascii=False)

    @property
    def is_too_far_ahead(self) -> bool:
        """Whether intake rejects it for its day."""
        return date.fromisoformat(self.line["effective_on"]) > self.received_on + AHEAD_MAX


def of_card(submission: CardSubmission) -> EntitySubmission:
    """Return a submission about a card as a line of a file."""
    line = {name: value for name, value in submission.row.items() if value is not None}
    return EntitySubmission(submission.received_on, "card", None, line)


def draw_entity_submissions(homes: Mapping[str, Sequence[str]], seed: int) -> list[EntitySubmission]:
    """Return submissions in the order in which they arrive, each on one of the days, the same for a seed.

    `homes` has the municipalities whose notices name a person, by resident record code.
    """
    chance = random.Random(f"entities {seed}")  # noqa: S311 - repeatable on purpose
    codes = sorted(homes)
    drawn = [event for code in chance.sample(codes, _PERSONS) for event in _certificates(chance, code)] + [
        event
        for code in chance.sample(codes, _PERSONS)
        for event in _care(chance, code, chance.choice(homes[code]))
    ]
    arriving = [
        (position, submission)
        for number, event in enumerate(drawn)
        for position, submission in _arrivals(chance, event, f"n-{number}")
    ]
    return [
        submission._replace(received_on=FIRST_DAY + timedelta(int(position * DAYS)))
        for position, submission in sorted(arriving, key=lambda arrival: arrival[0])
    ]


def _certificates(chance: random.Random, code: str) -> Iterator[EntitySubmission]:
    for serial in ("E1", "E2")[: chance.randint(1, 2)]:
        for event, day in _life(chance, _CERTIFICATE):
            fields = {"certificate_serial": serial}
            if event == _CERTIFICATE[0]:
                fields |= {"usage": chance.choice(("signature", "signature", "authentication"))}
                fields |= {"on_card": chance.choice(("S1", "S1", "S2")), "valid_until": _last_day(chance)}
            yield _submission("jpki", None, code, event, day, fields)


def _care(chance: random.Random, code: str, municipality: str) -> Iterator[EntitySubmission]:
    for event, day in _life(chance, _CERTIFICATION):
        fields = {}
        if event != _CERTIFICATION[-1]:
            fields = {
                "care_level": chance.choice(("support-1", "care-2")),
                "certified_until": _last_day(chance),
            }
        yield _submission("care", municipality, code, event, day, fields)
    if chance.random() < 0.5:
        for event, day in _life(chance, _INSTITUTION):
            yield _submission("care", municipality, code, event, day, {})


def _life(chance: random.Random, events: Sequence[str]) -> Iterator[tuple[str, date]]:
    """Yield events with their days, mostly the one that opens first."""
    days = sorted(chance.choices(_EFFECTIVE_AFTER, k=chance.randint(1, 4)))
    for number, after in enumerate(days):
        opens = number == 0 and chance.random() < 0.9
        yield (events[0] if opens else chance.choice(events)), FIRST_DAY + timedelta(after)


def _last_day(chance: random.Random) -> str:
    return str(FIRST_DAY + timedelta(chance.choice(_LAST_DAY_AFTER)))


def _submission(  # noqa: PLR0917 (a submission has as many parts)
    system: str, municipality: str | None, code: str, event: str, day: date, fields: Mapping[str, str]
) -> EntitySubmission:
    line: dict[str, Any] = {"event": event, "number": "", "effective_on": str(day), "code": code, **fields}
    line["recorded_on"] = str(FIRST_DAY)
    if municipality is not None:
        line["municipality"] = municipality
    return EntitySubmission(FIRST_DAY, system, municipality, line)


def _arrivals(
    chance: random.Random, event: EntitySubmission, number: str
) -> Iterator[tuple[float, EntitySubmission]]:
    """Yield a submission with the moment of its arrival (0 to 1), and what it brings about."""
    submission = event._replace(line={**event.line, "number": number})
    yield chance.random(), submission
    if chance.random() < 0.1:
        yield chance.random(), submission
    if chance.random() < 0.05:
        yield chance.random(), submission._replace(line={**submission.line, "effective_on": str(FIRST_DAY)})
    for again in range(chance.choice((0, 0, 0, 0, 1, 2))):
        head = ("effective_on", "recorded_on", "code", "municipality")
        line = {name: submission.line[name] for name in head if name in submission.line}
        line |= {"event": CANCELLED, "number": f"{number}-x{again}", "cancels": number}
        yield chance.random(), submission._replace(line=line)
