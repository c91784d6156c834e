"""A city handed over in parts through all steps, without servers: what histories say, and the reference model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.verification.reference import Actual, compare
from processors.codes import CodeKind, domain_codes
from processors.japan import first_ms_of
from schemas.systems import DOMAINS
from schemas.topics import PROTECTION
from streams.contract import Batch
from tests.handed_over import DAYS, EFFECTIVE_DAYS, HandedOver, hidden_model, hidden_rows
from tests.unit.infra.test_reference_city import batches_of
from tests.unit.processors.submissions import Row, key_ring
from tests.unit.processors.test_all_steps import AllSteps

pytestmark = pytest.mark.unit

MORNING_MS = 9 * 3_600_000
#: Rows of tables `person` by domain, code and municipality.
Persons = dict[tuple[str, str, str | None], Row]


class City:
    """A city after all parts: the tables as they were after each, and the histories at the end."""

    def __init__(self, folder: Path) -> None:
        self.handed_over, self.steps = HandedOver(folder, 50, seed=23), AllSteps()
        self.snapshots: dict[date, Persons] = {}
        for day in DAYS:
            now_ms = first_ms_of(day) + MORNING_MS
            for file in self.handed_over.files_on(day):
                for each in batches_of(file) if "portal" not in file.name else ():
                    self.steps.submit([received_at(each, now_ms)])
                    now_ms += len(each.meta)
            self.snapshots[day] = self._persons()
        self.histories = self._histories()
        protected = pa.array(sorted({row["person"] for row in self.steps.records[PROTECTION]}), pa.string())
        self.protected = {
            (domain, code)
            for domain in DOMAINS
            for code in domain_codes(key_ring().cipher(domain), protected, CodeKind.PERSON).to_pylist()
        }

    def as_of(self, effective: date, known: date) -> Persons:
        """Return what the tables had on a day as known on a day, by the histories."""
        latest: dict[tuple[Any, ...], tuple[date, Row]] = {}
        for (*row, effective_on, known_from), columns in self.histories.items():
            of_day = (*row, effective_on)
            if effective_on <= effective and known_from <= known:
                latest[of_day] = max(
                    latest.get(of_day, (date.min, {})), (known_from, columns), key=lambda each: each[0]
                )
        found: Persons = {}
        for (domain, code, part, effective_on), (_, columns) in sorted(
            latest.items(), key=lambda item: str(item[0][3])
        ):
            if columns["status"] != "retracted":
                found[domain, code, part] = {**columns, "effective_on": effective_on}
        return found

    def _persons(self) -> Persons:
        persons: Persons = {}
        for domain, record in self.records("PERSON"):
            key = (domain, record["code"], record.get("municipality"))
            persons.pop(key, None)
            if record["op"] == "UPSERT":
                persons[key] = {**record["person"], "effective_on": record["effective_on"]}
        return persons

    def _histories(self) -> Mapping[tuple[Any, ...], Row]:
        histories: dict[tuple[Any, ...], Row] = {}
        for domain, record in self.records("PERSON", "PERSON_HISTORY"):
            if record["known_from"] is None:
                continue
            row = (domain, record["code"], record.get("municipality"))
            key = (*row, record["effective_on"], record["known_from"])
            histories.pop(key, None)
            if record["op"] == "UPSERT":
                histories[key] = record["person"]
        return histories

    def records(self, *entities: str) -> list[tuple[str, Row]]:
        """Return the records of these entities with their domains, in order."""
        return [
            (domain.id, record)
            for domain in DOMAINS.values()
            if domain.has_history
            for record in self.steps.records.get(f"domain.{domain.id}", ())
            if record["entity"] in entities
        ]


def received_at(submissions: Batch, now_ms: int) -> Batch:
    """Return submissions as if they had been received then, one a millisecond."""
    meta = submissions.meta
    index = meta.schema.get_field_index("timestamp_ms")
    times = pa.array(range(now_ms, now_ms + len(meta)), meta.schema.field(index).type)
    return replace(submissions, meta=meta.set_column(index, meta.schema.field(index), times))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """Return the city after its last part."""
    return City(tmp_path_factory.mktemp("handed_over"))


def test_of_the_day_on_which_it_was_known_a_history_says_what_the_tables_had(city: City) -> None:
    """But for the address of those who were protected, then or later; and some rows became others meanwhile."""
    for day, snapshot in city.snapshots.items():
        shown = {
            key: {**row, "address": None} if key[:2] in city.protected else row
            for key, row in snapshot.items()
            if not (key[:2] in city.protected and row["effective_on"] > day)
        }
        found = city.as_of(day, day)
        assert {key: found.get(key) for key in shown} == shown, day
    assert any(city.as_of(DAYS[1], known) != city.as_of(DAYS[1], DAYS[1]) for known in DAYS[2:])


@pytest.mark.parametrize("known", DAYS)
def test_of_every_day_a_history_says_what_the_reference_model_does(city: City, known: date) -> None:
    """Of days before the one on which it was known: what follows from what was received, and was in effect."""
    born = {
        str(row["birth_date"]) for key, row in city.snapshots[DAYS[-1]].items() if key[:2] in city.protected
    }
    for effective in (day for day in EFFECTIVE_DAYS if day <= known):
        rows = [
            {"domain": domain, "code": code, "municipality": part, **row}
            for (domain, code, part), row in city.as_of(effective, known).items()
        ]
        model = hidden_model(city.handed_over.expected_as_of(effective, known), born)
        differences = compare(model, Actual(hidden_rows(rows, born), []))
        assert [each for each in differences if each.domain != "portal"] == [], (effective, known)


def test_most_rows_of_histories_go_with_the_rows_of_persons(city: City) -> None:
    """Only what is late, cancels or is about somebody who was protected needs records of its own."""
    entities = [record["entity"] for _, record in city.records("PERSON", "PERSON_HISTORY")]
    assert 0 < entities.count("PERSON_HISTORY") < entities.count("PERSON") / 5
