"""Small synthetic cities: their submissions, and the result that the reference model computes."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource, NoticesSource
from connectors.juki_cs.source import JukiCsSource
from connectors.publish import publish_opened
from connectors.source import Route, Source, SubmissionBatch
from infra.verification.reference import Expected, expected
from infra.verification.synthetic.false_registrations import add_false_registrations
from infra.verification.synthetic.writing import write_city
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from streams.sealing import Coding
from streams.testing.driver import SEALER

CODEC: Final = Codec(catalogue(), LocalSchemaIds(catalogue()))
CODING: Final = Coding(CODEC, SEALER)
#: Residents and days: few persons with more than fifty notices.
_RESIDENTS, _DAYS = 16, 24
NOTICES_MIN: Final = 50
NOTICES_MAX: Final = 58
RECEIVED_MS: Final = 1_788_188_400_000


@dataclass
class SimCity:
    """The submissions of a city's systems, in order per topic, and the reference model's result."""

    number: int
    records: dict[str, list[bytes]] = field(default_factory=dict)
    #: The position (topic, offset) of the submission at a line of a file. All are received at the same time.
    positions: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    model: Expected = field(default_factory=Expected)

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
        records.extend(values)

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
    return generated


def interleaved(records: dict[str, list[Any]], chance: random.Random) -> Iterator[tuple[str, Any]]:
    """Yield all records in random order, each topic's in its own order."""
    topics = [topic for topic in sorted(records) for _ in records[topic]]
    chance.shuffle(topics)
    remaining = {topic: iter(values) for topic, values in records.items()}
    for topic in topics:
        yield topic, next(remaining[topic])


def _drop_some_enrolments(path: Path, seed: int) -> None:
    """Keep two enrolments in three: they test a pipeline as well as all would, in less time."""
    header, *rows = path.read_text(encoding="utf-8-sig").splitlines()
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    kept = [row for row in rows if chance.random() < 0.66]
    path.write_text("\r\n".join([header, *kept, ""]), encoding="utf-8-sig", newline="")


def _source(path: Path) -> Source:
    kind = path.name.split("_")[0]
    if kind == "juki":
        return JukiCsSource(path)
    if kind == "notices":
        return NoticesSource(path)
    return EventsSource("portal", path, prefix="events") if kind == "events" else EnrolmentsSource(path)
