"""Small synthetic cities as their hand-overs, and what comes of each when nothing goes wrong."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource
from connectors.juki_cs.source import JukiCsSource
from connectors.notices.source import NoticesSource
from connectors.publish import carry
from connectors.source import Route, Source, SubmissionBatch
from infra.verification.reference import Expected, expected
from infra.verification.synthetic.writing import write_city
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from streams.sealing import Coding
from streams.testing.driver import SEALER

CODEC: Final = Codec(catalogue(), LocalSchemaIds(catalogue()))
CODING: Final = Coding(CODEC, SEALER)
#: Residents and days: more than fifty notices, few persons.
_RESIDENTS, _DAYS = 16, 24
NOTICES_MIN: Final = 50
NOTICES_MAX: Final = 58
RECEIVED_MS: Final = 1_767_225_600_000


@dataclass
class SimCity:
    """What its systems hand over, in order within each topic; and what the reference model makes of it."""

    number: int
    records: dict[str, list[bytes]] = field(default_factory=dict)
    model: Expected = field(default_factory=Expected)

    @property
    def notices(self) -> int:
        """How many notices there are, the refused ones included."""
        return sum(len(values) for topic, values in self.records.items() if topic.startswith("in.juki"))

    # What a publisher does (`connectors.publish.Publisher`).

    def prepare(self, routes: Collection[Route]) -> None:
        """Nothing has to be made sure of."""

    def send(self, found: SubmissionBatch) -> None:
        """Keeps hand-overs as records."""
        values = CODEC.encode(found.route.schema, found.table).to_pylist()
        self.records.setdefault(found.route.topic, []).extend(values)

    def flush(self) -> None:
        """All is kept."""


@cache
def city(number: int) -> SimCity:
    """A city, always the same for a number."""
    for seed in range(100 * number, 100 * number + 100):
        made = _made(number, seed)
        if NOTICES_MIN <= made.notices <= NOTICES_MAX:
            return made
    raise ValueError(f"no seed makes a city {number}")


def _made(number: int, seed: int) -> SimCity:
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_city(folder, _RESIDENTS, _DAYS, seed)
        _fewer_enrolments(folder / "enrolments.csv", seed)
        made = SimCity(number)
        files = [path for path in sorted(folder.iterdir()) if path.stat().st_size]
        for path in files:
            source = _source(path)
            source.open()
            carry(source, made)
        made.model = expected([path for path in files if not path.name.startswith("events_")])
    return made


def interleaved(records: dict[str, list[Any]], chance: random.Random) -> Iterator[tuple[str, Any]]:
    """All records, each topic's in its order."""
    topics = [topic for topic in sorted(records) for _ in records[topic]]
    chance.shuffle(topics)
    left = {topic: iter(values) for topic, values in records.items()}
    for topic in topics:
        yield topic, next(left[topic])


def _fewer_enrolments(path: Path, number: int) -> None:
    """Two in three say as much of a pipeline as all."""
    header, *rows = path.read_text(encoding="utf-8-sig").splitlines()
    chance = random.Random(number)  # noqa: S311 - repeatable on purpose
    kept = [row for row in rows if chance.random() < 0.66]
    path.write_text("\r\n".join([header, *kept, ""]), encoding="utf-8-sig", newline="")


def _source(path: Path) -> Source:
    kind = path.name.split("_")[0]
    if kind == "juki":
        return JukiCsSource(path)
    if kind == "notices":
        return NoticesSource(path)
    return EventsSource("portal", path, prefix="events") if kind == "events" else EnrolmentsSource(path)
