"""Declared entities of a synthetic city, from the files through all steps, compared with the reference model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from connectors.events.source import EventsSource
from infra.verification.reference import Actual, Difference, Expected, compare, expected
from infra.verification.synthetic.city import ExpectedCounts
from infra.verification.synthetic.writing import write_city
from schemas.systems import DOMAINS, SYSTEMS
from schemas.topics import CONFLICT
from streams.contract import Batch
from tests.unit.processors.stored_readings import readings_of, records_for
from tests.unit.processors.submissions import (
    Row,
    batch,
    csv_batch,
    enrolment_batches,
    json_batch,
)
from tests.unit.processors.test_all_steps import AllSteps

pytestmark = pytest.mark.unit

#: The day on which `batch` receives everything.
TODAY = "2026-09-01"
RESIDENTS, DAYS, SEED = 400, 30, 7


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExpectedCounts]:
    """Return the folder of a synthetic city, and its expected counts."""
    folder = tmp_path_factory.mktemp("city")
    return folder, write_city(folder, RESIDENTS, DAYS, SEED, with_entities=True)


def files_of(folder: Path) -> list[Path]:
    """Return the files in the order in which they are ingested: events of entities last."""
    files = [path for path in folder.iterdir() if path.name != "events_portal.jsonl"]
    return sorted(files, key=lambda path: (path.name.startswith("events_"), path.name))


@pytest.fixture(scope="module")
def model(city: tuple[Path, ExpectedCounts]) -> Expected:
    """Return what the reference model expects of the city."""
    return expected(files_of(city[0]), today=TODAY)


@pytest.fixture(scope="module")
def steps(city: tuple[Path, ExpectedCounts]) -> AllSteps:
    """Return the steps after they have processed the city."""
    steps = AllSteps()
    for number, path in enumerate(files_of(city[0])):
        steps.submit(received_later(each, number) for each in batches_of(path))
    return steps


@pytest.fixture(scope="module")
def conflicts(steps: AllSteps) -> list[Row]:
    """Return the open conflicts."""
    latest = {row["id"]: row for row in steps.records.get(CONFLICT, ())}
    return [row for row in latest.values() if row["status"] == "OPEN"]


@pytest.fixture(scope="module")
def actual(steps: AllSteps, conflicts: list[Row]) -> Actual:
    """Return what the steps make of the city."""
    return Actual(
        persons_of(steps),
        readings=readings_of(steps),
        rejected_events={
            (row["system"], row["municipality"] or "", row["notice"])
            for topic, rows in steps.records.items()
            if topic.startswith("rejected.") and SYSTEMS[topic.removeprefix("rejected.")].owns
            for row in rows
            if row["kind"] == "REJECTED"
        },
        events_without_effect={
            (row["domain"], row["municipality"] or "", row["number"])
            for row in conflicts
            if row["kind"] == "EVENT_WITHOUT_EFFECT"
        },
    )


def batches_of(path: Path) -> list[Batch]:
    """Return a file's submissions as intake receives them."""
    kind, system, municipality = (*path.stem.split("_"), None, None)[:3]
    if path.name == "enrolments.csv":
        return enrolment_batches(path)
    if kind != "events":
        return [csv_batch(path) if path.suffix == ".csv" else json_batch(path)]
    source = EventsSource(system or "", path, municipality)
    (route,) = source.open()
    rows = [row for polled in iter(source.poll, []) for each in polled for row in each.table.to_pylist()]
    return [batch(route.schema, route.topic, rows)]


def received_later(submissions: Batch, minutes: int) -> Batch:
    """Return submissions as if they had been received so many minutes later."""
    meta = submissions.meta
    index = meta.schema.get_field_index("timestamp_ms")
    later = pc.add(meta.column(index), minutes * 60_000)
    return replace(submissions, meta=meta.set_column(index, meta.schema.field(index), later))


def persons_of(steps: AllSteps) -> list[Row]:
    """Return the rows of the tables `person` of all domains."""
    stored: dict[Any, Row] = {}
    for domain in DOMAINS.values():
        for record in records_for(steps, domain):
            head = {name: record.get(name) for name in ("code", "municipality", "effective_on")}
            key = (domain.id, head["code"], head["municipality"])
            if record["entity"] == "PERSON" and record["op"] == "DELETE":
                del stored[key]
            elif record["entity"] == "PERSON":
                stored[key] = {"domain": domain.id, **head, **record["person"]}
    return list(stored.values())


def test_who_has_departed_and_not_arrived_is_a_conflict(model: Expected, conflicts: list[Row]) -> None:
    """With the municipality of before and the one that the move out names; nobody else is."""
    found = Counter(
        (row["municipality"], row["other_municipality"], str(row["effective_on"]))
        for row in conflicts
        if row["kind"] == "DEPARTED_NOT_ARRIVED"
    )
    assert found == model.departed
    assert found


def test_every_row_of_every_reading_is_as_expected(model: Expected, actual: Actual) -> None:
    """So is every row of a person, with the rows that belong to it, and every rejection; each reading has rows."""
    assert [each for each in compare(model, actual) if is_compared(each)] == []
    assert {f"{d.schema_name}.{r.name}" for d in DOMAINS.values() for r in d.reads} == set(model.readings)
    assert model.events_without_effect


def is_compared(difference: Difference) -> bool:
    """Return whether a difference counts: not about messages, of which there are none here."""
    return not difference.kind.startswith("messages-")


def test_the_model_rejects_what_the_city_expects(city: tuple[Path, ExpectedCounts], model: Expected) -> None:
    """So does the city know how many events it submits twice."""
    _, counts = city
    assert model.rejected_events == counts.rejected_events
    assert len(model.duplicates) == counts.duplicates + counts.events_twice
    assert counts.rejected_events
    assert counts.events_twice


def test_every_system_with_entities_has_events(city: tuple[Path, ExpectedCounts]) -> None:
    """Each of its events happens, and something is taken back."""
    folder, _ = city
    for system in SYSTEMS.values():
        text = "".join(path.read_text("utf-8") for path in folder.glob(f"events_{system.id}[_.]*jsonl"))
        names = {name for name in system.event_names if f'"event": "{name}"' in text}
        assert not system.owns or names >= set(opening_events(system.id))


def opening_events(system: str) -> Iterator[str]:
    """Yield the names of the events of a system that open something."""
    for entity in SYSTEMS[system].owns:
        yield from (
            event.name for event in entity.events if event.effect == "OPENS" and not entity.by_residence
        )
