"""Small synthetic cities: their submissions, and the result that the reference model computes."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource, NoticesSource
from connectors.juki_cs.source import JukiCsSource
from connectors.publish import publish_opened
from connectors.source import Route, Source, SubmissionBatch
from infra.verification.reference import Expected, expected
from infra.verification.synthetic.false_registrations import add_false_registrations
from infra.verification.synthetic.writing import write_city
from processors.japan import day_of_ms, first_ms_of
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.systems import SYSTEMS
from schemas.tables import table_from_rows
from streams.sealing import Coding
from streams.testing.driver import SEALER
from tests.register_files import csv_lines, csv_rows, json_lines
from tests.simulation.card_model import CardOutcome, expected_cards
from tests.simulation.card_submissions import DAYS, FIRST_DAY, LAST_DAY, CardSubmission, draw_card_submissions
from tests.simulation.declarations import CURRENT, FORMER
from tests.simulation.entity_submissions import EntitySubmission, draw_entity_submissions, of_card
from tests.simulation.notices_ahead import ENROLMENTS, draw_ahead, is_first

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
    #: When and where (time in ms, topic, offset) the submission at a line of a file is received.
    receipts: dict[tuple[str, int], tuple[int, str, int]] = field(default_factory=dict)
    #: The time of receipt of those lines that aren't received on the first day.
    received_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    #: How many of the notices are those of `notices_ahead`.
    notices_ahead: int = 0
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
        for value, place in zip(values, lines, strict=True):
            at_ms = self.received_ms.get(place, RECEIVED_MS)
            self.receipts[place] = (at_ms, batch.route.topic, len(records))
            records.append(Submitted(value, at_ms))

    def flush(self) -> None:
        """Do nothing: all records are kept already."""


@cache
def city(number: int) -> SimCity:
    """Return the city of a number, always the same. Raise ValueError if no seed makes one of the right size."""
    for seed in range(100 * number, 100 * number + 100):
        candidate = _generate(number, seed)
        if NOTICES_MIN <= candidate.notices - candidate.notices_ahead <= NOTICES_MAX:
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
        ahead = _write_ahead(generated, files, folder, seed)
        files = [*filter(is_first, ahead), *files, *(path for path in ahead if not is_first(path))]
        for path in files:
            _publish(path, generated)
        residents = sorted({values[2] for _, values in csv_lines(folder / "enrolments.csv")})
        cards = draw_card_submissions(residents, seed)
        of_cards = [of_card(submission) for submission in cards]
        entities = draw_entity_submissions(_homes(files), seed)
        _add_cards(generated, cards, of_cards[0].file)
        for path in _write_lines(folder, entities):
            generated.received_ms |= {
                (path.name, line): first_ms_of(submission.received_on)
                for line, submission in enumerate(_of_file(entities, path.name), start=1)
            }
            _publish(path, generated)
        _add_model(generated, files, folder / "model", [*of_cards, *entities])
    _add_days(generated, seed)
    _add_adoptions(generated)
    return generated


def _write_ahead(generated: SimCity, files: Sequence[Path], folder: Path, seed: int) -> list[Path]:
    """Write notices and enrolments ahead of their day, and return their files."""
    municipalities = [path.stem.split("_")[1] for path in files if path.name.startswith("notices_")]
    written = draw_ahead(municipalities, seed).write(folder)
    generated.notices_ahead = sum(len(days) for path, days in written.items() if path.name != ENROLMENTS)
    generated.received_ms |= {
        (path.name, line): first_ms_of(day)
        for path, days in written.items()
        for line, day in enumerate(days, start=1)
    }
    return list(written)


def _publish(path: Path, generated: SimCity) -> None:
    source = _source(path)
    source.open()
    publish_opened(source, generated)


def _add_model(
    generated: SimCity, files: Sequence[Path], folder: Path, submissions: Sequence[EntitySubmission]
) -> None:
    """Let the reference model read all files, without the submissions that are too far ahead of their receipt."""
    folder.mkdir()
    read = [
        submission._replace(line={}) if submission.is_too_far_ahead else submission
        for submission in submissions
    ]
    registers = [path for path in files if not path.name.startswith("events_")]
    generated.model = expected(
        [*registers, *_write_lines(folder, read)],
        receipt_of=lambda file, line: generated.receipts[file, line],
        received_on=lambda file, line: str(day_of_ms(generated.receipts[file, line][0])),
        today=str(LAST_DAY),
    )
    generated.model.rejected_events |= {
        (each.system, each.municipality or "", each.line["number"])
        for each in submissions
        if each.is_too_far_ahead
    }


def _write_lines(folder: Path, submissions: Sequence[EntitySubmission]) -> list[Path]:
    """Write the files of these submissions, and return them; a submission without content is an empty line."""
    paths = [folder / name for name in dict.fromkeys(submission.file for submission in submissions)]
    for path in paths:
        lines = [each.text if each.line else "" for each in _of_file(submissions, path.name)]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return paths


def _of_file(submissions: Sequence[EntitySubmission], name: str) -> list[EntitySubmission]:
    return [submission for submission in submissions if submission.file == name]


def _homes(files: Sequence[Path]) -> dict[str, list[str]]:
    """Return the municipalities whose notices name each person, by resident record code."""
    homes: dict[str, dict[str, None]] = {}
    for path in files:
        if path.name.startswith("juki"):
            for _, row in csv_rows(path):
                homes.setdefault(row["住民票コード"], {})[row["市区町村コード"]] = None
        elif path.name.startswith("notices"):
            for notice in (json.loads(line) for _, line in json_lines(path)):
                for person in notice.get("persons", ()):
                    homes.setdefault(person["code"], {})[notice["municipality"]] = None
    return {code: list(municipalities) for code, municipalities in homes.items() if code}


def _add_cards(generated: SimCity, submissions: list[CardSubmission], file: str) -> None:
    """Add submissions about cards after the enrolments of their topic; they are the lines of a file of the model."""
    values = CODEC.encode(
        "submission-card", table_from_rows("submission-card", [each.row for each in submissions])
    )
    records = generated.records.setdefault("in.card", [])
    for line, (value, submission) in enumerate(zip(values.to_pylist(), submissions, strict=True), start=1):
        at_ms = first_ms_of(submission.received_on)
        generated.receipts[file, line] = (at_ms, "in.card", len(records))
        records.append(Submitted(value, at_ms))
    generated.card_submissions, generated.cards = submissions, expected_cards(submissions, LAST_DAY)


def _add_days(generated: SimCity, seed: int) -> None:
    """Add the days that the clock submits after the first.

    It stops for some of them: then it submits those that it has missed at once, sometimes all of them twice, as it does
    if it stops again before it has noted that it has submitted them.
    """
    chance = random.Random(f"days {seed}")  # noqa: S311 - repeatable on purpose
    after, submitted = list(range(1, DAYS + 1)), list[tuple[int, int]]()
    while after:
        missed = [after.pop(0) for _ in range(min(len(after), chance.choice((1, 1, 2, 3))))]
        submitted += [(day, missed[-1]) for day in missed] * chance.choice((1, 1, 2))
    rows = [{"day": str(FIRST_DAY + timedelta(day))} for day, _ in submitted]
    values = CODEC.encode("day-begun", table_from_rows("day-begun", rows)).to_pylist()
    generated.records["in.clock"] = [
        Submitted(value, first_ms_of(FIRST_DAY + timedelta(received_after)))
        for value, (_, received_after) in zip(values, submitted, strict=True)
    ]


def _add_adoptions(generated: SimCity) -> None:
    """Add the commands to adopt declarations: those of before, those of now, and those of now once more.

    `mesh apply` submits a command twice if it is interrupted before it has noted that it has submitted it.
    """
    numbers = (FORMER, CURRENT, CURRENT)
    rows = [
        {
            "command": "ADOPT",
            "origin": {"topic": "in.operator", "partition": 0, "offset": 0},
            "adoption": number,
        }
        for number in numbers
    ]
    values = CODEC.encode("operator-command", table_from_rows("operator-command", rows)).to_pylist()
    generated.records["in.operator"] = [Submitted(value) for value in values]


def interleaved(
    records: dict[str, list[Submitted]], chance: random.Random
) -> Iterator[tuple[str, Submitted]]:
    """Yield all records, each topic's in its own order: in random order, or in every second case day by day."""
    is_by_day, remaining = chance.random() < 0.5, {topic: iter(values) for topic, values in records.items()}
    days: dict[int, list[str]] = {}
    for topic in sorted(records):
        latest = 0
        for record in records[topic]:
            latest = max(latest, record.received_ms) if is_by_day else 0
            days.setdefault(latest, []).append(topic)
    for day in sorted(days):
        chance.shuffle(days[day])
        for topic in days[day]:
            yield topic, next(remaining[topic])


def _drop_some_enrolments(path: Path, seed: int) -> None:
    """Keep about half of the enrolments: they test a pipeline as well as all would, in less time."""
    header, *rows = path.read_text(encoding="utf-8-sig").splitlines()
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    kept = [row for row in rows if chance.random() < _ENROLMENTS_KEPT]
    path.write_text("\r\n".join([header, *kept, ""]), encoding="utf-8-sig", newline="")


def _source(path: Path) -> Source:
    kind, system = path.stem.split("_")[:2] if "_" in path.stem else (path.stem, "")
    if kind == "juki":
        return JukiCsSource(path)
    if kind == "notices":
        return NoticesSource(path)
    if kind == "events":
        municipality = path.stem.split("_")[2] if SYSTEMS[system].municipal else None
        return EventsSource(system, path, municipality, prefix="events")
    return EnrolmentsSource(path)
