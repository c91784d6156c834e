"""The sample cities from hand-over to domain, through every step and every schema's bytes, without a broker."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from processors.conversion import ConversionProcessor
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from streams.contract import META, Batch, Output, Result
from tests.samples import SAMPLES
from tests.unit.processors.mesh import states
from tests.unit.processors.submissions import Row, csv_batch, enrolment_batches, json_batch, key_ring

CODEC = Codec(catalogue(), LocalSchemaIds(catalogue()))


class Way:
    """All four steps; `records` are their outputs by topic, as a reader of the topic decodes them."""

    def __init__(self) -> None:
        keys = key_ring()
        self.intake, self.conversion = IntakeProcessor(keys), ConversionProcessor(keys)
        self.household, self.fan_out = HouseholdProcessor(), FanOutProcessor()
        self._households, self._persons = states(self.household), states(self.fan_out)
        self.records: dict[str, list[Row]] = {}

    def take(self, batches: Iterable[Batch]) -> None:
        """Hand-overs, and all that follows from them."""
        due = deque(self._told(self.intake.process(list(batches))))
        while due:
            batch = due.popleft()
            due.extend(self._told(self._process(batch, batch.meta.column("topic")[0].as_py())))

    def _process(self, batch: Batch, topic: str) -> Result:
        if topic == "notice":
            return self.household.process(batch, self._households)
        if topic == "person.change":
            return self.fan_out.process(batch, self._persons)
        return self.conversion.process([batch]) if topic.startswith("change.") else Result()

    def _told(self, result: Result) -> Iterable[Batch]:
        assert not result.poison
        for output in result.outputs:
            batch = _carried(output)
            self.records.setdefault(output.topic, []).extend(batch.table.to_pylist())
            yield batch


def _carried(output: Output) -> Batch:
    """The output's records as their reader gets them: encoded and decoded."""
    decoded = CODEC.decode(output.schema, CODEC.encode(output.schema, output.table))
    assert not decoded.faults
    places = list(range(len(output.table)))
    meta = [
        {"topic": output.topic, "partition": 0, "offset": n, "timestamp_ms": 1, "key": None} for n in places
    ]
    return Batch(output.schema, decoded.table, pa.Table.from_pylist(meta, schema=META))


def city(name: str, *, backwards: bool) -> Way:
    """A city's files, in the order of their names or the other way round."""
    way = Way()
    for file in sorted((SAMPLES / name).iterdir(), reverse=backwards):
        way.take(_batches(file))
    return way


def _batches(file: Path) -> list[Batch]:
    if file.name == "enrolments.csv":
        return enrolment_batches(file)
    return (
        [csv_batch(file) if file.suffix == ".csv" else json_batch(file)]
        if file.name != "expected.json"
        else []
    )


def rows(way: Way) -> dict[tuple[str, str, str | None], Row]:
    """The rows of the domains' tables `person`, by domain, code and municipality."""
    held: dict[tuple[str, str, str | None], Row] = {}
    for topic, records in way.records.items():
        for record in records if topic.startswith("domain.") else ():
            key = (topic.removeprefix("domain."), record["code"], record.get("municipality"))
            if record["entity"] == "PERSON" and record["op"] == "DELETE":
                del held[key]
            elif record["entity"] == "PERSON":
                held[key] = record["person"]
    return held


def plain(domain: str, municipality: str | None, row: Row) -> str:
    """A row as expected.json has it."""
    shown = {name: str(value) if name == "birth_date" else value for name, value in row.items()}
    shown.pop("household_code", None)
    return json.dumps({**shown, "domain": domain, "municipality": municipality}, sort_keys=True)


def households(held: dict[tuple[str, str, str | None], Row]) -> list[list[str]]:
    """Residents whose rows of local tax share a household's code."""
    found: dict[str, list[str]] = {}
    for (domain, _, _), row in held.items():
        if domain == "local-tax" and row["status"] != "closed":
            found.setdefault(row["household_code"], []).append(f"{row['name']}{row['birth_date']}")
    return sorted(map(sorted, found.values()))


def messages(way: Way) -> list[list[list[str]]]:
    """Each enrolled resident's messages."""
    found: dict[str, list[list[str]]] = {}
    for record in way.records["domain.portal"]:
        if record["message"]:
            told = [record["message"]["reason"], str(record["effective_on"])]
            found.setdefault(record["code"], []).append(told)
    return sorted(map(sorted, found.values()))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["city", "city-2"])
def test_a_city_comes_out_as_expected(name: str, *, backwards: bool) -> None:
    """Rows, households, messages and refusals, whichever file comes first; no code is in two domains."""
    expected: dict[str, Any] = json.loads((SAMPLES / name / "expected.json").read_text(encoding="utf-8"))
    way = city(name, backwards=backwards)
    held = rows(way)
    assert sorted(plain(domain, place, row) for (domain, _, place), row in held.items()) == sorted(
        json.dumps(row, sort_keys=True) for row in expected["rows"]
    )
    assert households(held) == sorted(sorted(map(_joined, each)) for each in expected["households"])
    assert messages(way) == sorted(map(sorted, expected["portal"]))
    refused = [
        each["notice"]
        for topic, told in way.records.items()
        if topic.startswith("rejected.")
        for each in told
    ]
    assert sorted(refused) == sorted(expected["refused"])
    assert _codes_of_two_domains(way) == set()


def _joined(resident: str | list[str]) -> str:
    return resident if isinstance(resident, str) else "".join(resident)


def _codes_of_two_domains(way: Way) -> set[str]:
    seen: set[str] = set()
    twice: set[str] = set()
    for topic, records in way.records.items():
        if topic.startswith("domain."):
            codes = {each[name] for each in records for name in ("code", "case_code")}
            codes |= {(each.get("person") or {}).get("household_code") for each in records}
            twice |= (seen & codes) - {None}
            seen |= codes
    return twice


def test_every_change_that_goes_out_is_disclosed() -> None:
    """One record of disclosure for each, of the same code, case and revision."""
    way = city("city", backwards=False)
    named = ("code", "case_code", "entity", "revision", "effective_on")
    for topic in [topic for topic in way.records if topic.startswith("domain.")]:
        domain = topic.removeprefix("domain.")
        told, disclosed = way.records[topic], way.records[f"disclosure.{domain}"]
        assert [[each[n] for n in named] for each in told] == [[each[n] for n in named] for each in disclosed]
        assert all(each["legal_basis"] for each in disclosed)
