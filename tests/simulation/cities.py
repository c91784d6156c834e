"""Small synthetic cities: their submissions, and the result that the reference model computes."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource, NoticesSource
from connectors.juki_cs.source import JukiCsSource
from connectors.publish import publish_opened
from connectors.source import Route, Source, SubmissionBatch
from infra.verification.reference import Expected, expected
from infra.verification.synthetic.false_registrations import add_false_registrations
from infra.verification.synthetic.writing import write_city
from processors.japan import first_ms_of
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows
from streams.sealing import Coding
from streams.testing.driver import SEALER
from tests.register_files import csv_lines
from tests.simulation.card_model import CardOutcome, expected_cards
from tests.simulation.card_submissions import DAYS, FIRST_DAY, LAST_DAY, CardSubmission, draw_card_submissions

CODEC: Final = Codec(catalogue(), LocalSchemaIds(catalogue()))
CODING: Final = Coding(CODEC, SEALER)
#: Residents and days: few persons with more than fifty notices.
_RESIDENTS, _DAYS = 16, 24
_ENROLMENTS_KEPT: Final = 0.45
NOTICES_MIN: Final = 50
NOTICES_MAX: Final = 58
#: When all submissions about residents and accounts are received.
RECEIVED_MS: Final = first_ms_of(FIRST_DAY)


class Submitted(NamedTuple):
    """The value of a record of an input topic, and when it is received in ms since 1970."""

    value: bytes
    received_ms: int = RECEIVED_MS


@dataclass
class SimCity:
    """The submissions of a city's systems, in order per topic, and the reference model's result."""

    number: int
    records: dict[str, list[Submitted]] = field(default_factory=dict)
    #: The position (topic, offset) of the submission at a line of a file. All are received at the same time.
    positions: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    model: Expected = field(default_factory=Expected)
    #: The submissions about cards, and what becomes of them by the end of the last day.
    card_submissions: list[CardSubmission] = field(default_factory=list)
    cards: CardOutcome = field(default_factory=CardOutcome)

    @property
    def notices(self) -> int:
        """How many notices were submitted, including those that are rejected."""
        return sum(len(values) for topic, values in self.records.items() if topic.startswith("in.juki"))

    # The methods of a publisher (`connectors.publish.Publisher`).

    def prepare(self, routes: Collection[Route]) -> None:
        """Do nothing: no topic has to be checked."""

    def send(self, batch: SubmissionBatch) -> None:
        """Keep submissions as records."""
        values = CODEC.encode(batch.route.schema, batch.table).to_pylist()
        records = self.records.setdefault(batch.route.topic, [])
        lines = zip(batch.table["file"].to_pylist(), batch.table["line"].to_pylist(), strict=True)
        for offset, place in enumerate(lines, start=len(records)):
            self.positions[place] = (batch.route.topic, offset)
        records.extend(map(Submitted, values))

    def flush(self) -> None:
        """Do nothing: all records are kept already."""


@cache
def city(number: int) -> SimCity:
    """Return the city of a number, always the same. Raise ValueError if no seed makes one of the right size."""
    for seed in range(100 * number, 100 * number + 100):
        candidate = _generate(number, seed)
        if NOTICES_MIN <= candidate.notices <= NOTICES_MAX:
            return candidate
    raise ValueError(f"no seed makes a city {number}")


def _generate(number: int, seed: int) -> SimCity:
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        write_city(folder, _RESIDENTS, _DAYS, seed)
        _drop_some_enrolments(folder / "enrolments.csv", seed)
        add_false_registrations(folder, seed)
        generated = SimCity(number)
        files = [path for path in sorted(folder.iterdir()) if path.stat().st_size]
        for path in files:
            source = _source(path)
            source.open()
            publish_opened(source, generated)
        generated.model = expected(
            [path for path in files if not path.name.startswith("events_")],
            receipt_of=lambda file, line: generated.positions[file, line],
        )
        residents = sorted({values[2] for _, values in csv_lines(folder / "enrolments.csv")})
    _add_cards(generated, draw_card_submissions(residents, seed))
    _add_days(generated)
    return generated


def _add_cards(generated: SimCity, submissions: list[CardSubmission]) -> None:
    """Add submissions about cards after the enrolments of their topic."""
    values = CODEC.encode(
        "submission-card", table_from_rows("submission-card", [each.row for each in submissions])
    )
    generated.records.setdefault("in.card", []).extend(
        Submitted(value, first_ms_of(submission.received_on))
        for value, submission in zip(values.to_pylist(), submissions, strict=True)
    )
    generated.card_submissions, generated.cards = submissions, expected_cards(submissions, LAST_DAY)


def _add_days(generated: SimCity) -> None:
    """Add the days that the clock submits after the first."""
    days = [FIRST_DAY + timedelta(after) for after in range(1, DAYS + 1)]
    values = CODEC.encode("day-begun", table_from_rows("day-begun", [{"day": str(day)} for day in days]))
    generated.records["in.clock"] = [
        Submitted(value, first_ms_of(day)) for value, day in zip(values.to_pylist(), days, strict=True)
    ]


def interleaved(records: dict[str, list[Any]], chance: random.Random) -> Iterator[tuple[str, Any]]:
    """Yield all records in random order, each topic's in its own order."""
    topics = [topic for topic in sorted(records) for _ in records[topic]]
    chance.shuffle(topics)
    remaining = {topic: iter(values) for topic, values in records.items()}
    for topic in topics:
        yield topic, next(remaining[topic])


def _drop_some_enrolments(path: Path, seed: int) -> None:
    """Keep about half of the enrolments: they test a pipeline as well as all would, in less time."""
    header, *rows = path.read_text(encoding="utf-8-sig").splitlines()
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    kept = [row for row in rows if chance.random() < _ENROLMENTS_KEPT]
    path.write_text("\r\n".join([header, *kept, ""]), encoding="utf-8-sig", newline="")


def _source(path: Path) -> Source:
    kind = path.name.split("_")[0]
    if kind == "juki":
        return JukiCsSource(path)
    if kind == "notices":
        return NoticesSource(path)
    return EventsSource("portal", path, prefix="events") if kind == "events" else EnrolmentsSource(path)
