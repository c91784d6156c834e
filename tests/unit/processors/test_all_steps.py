"""The sample cities from submission to domain, through every step and every schema's encoding, without a broker."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from processors.conversion import ConversionProcessor
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.topics import PROTECTION
from streams.contract import META, Batch, Output, Result
from tests.register_files import expected_json
from tests.samples import SAMPLES
from tests.unit.processors.protection_tables import RowsTable
from tests.unit.processors.submissions import (
    Row,
    csv_batch,
    enrolment_batches,
    high_sealer,
    json_batch,
    key_ring,
    sink_sealers,
)
from tests.unit.processors.two_steps import empty_state

CODEC = Codec(catalogue(), LocalSchemaIds(catalogue()))


class AllSteps:
    """All four steps; `records` are their outputs by topic, as a reader of the topic decodes them."""

    def __init__(self) -> None:
        keys = key_ring()
        self.intake, self.conversion = (
            IntakeProcessor(keys, high_sealer()),
            ConversionProcessor(keys, high_sealer(), sink_sealers()),
        )
        self.household, self.fan_out = HouseholdProcessor(), FanOutProcessor(sealer=high_sealer())
        self._households, self._persons = empty_state(self.household), empty_state(self.fan_out)
        self._protection = RowsTable({})
        self.records: dict[str, list[Row]] = {}

    def submit(self, batches: Iterable[Batch]) -> None:
        """Process submissions, and all records that follow from them."""
        pending = deque(self._record_outputs(self.intake.process(list(batches))))
        while pending:
            batch = pending.popleft()
            pending.extend(self._record_outputs(self._process(batch, batch.meta.column("topic")[0].as_py())))

    def _process(self, batch: Batch, topic: str) -> Result:
        if topic == "notice":
            return self.household.process(batch, self._households)
        if topic == "person.change":
            return self.fan_out.process(batch, self._persons)
        if topic.startswith("change.") or topic == PROTECTION:
            return self.conversion.process([batch], {PROTECTION: self._protection})
        return Result()

    def _record_outputs(self, result: Result) -> Iterable[Batch]:
        assert not result.poison
        for output in result.outputs:
            batch = _reread(output)
            self.records.setdefault(output.topic, []).extend(batch.table.to_pylist())
            if output.topic == PROTECTION:
                self._protection.rows |= {row["person"]: row for row in batch.table.to_pylist()}
            yield batch


def _reread(output: Output) -> Batch:
    """Return the output's records as their reader receives them: encoded and decoded."""
    decoded = CODEC.decode(output.schema, CODEC.encode(output.schema, output.table))
    assert not decoded.failures
    meta = [
        {"topic": output.topic, "partition": 0, "offset": offset, "timestamp_ms": 1, "key": None}
        for offset in range(len(output.table))
    ]
    return Batch(output.schema, decoded.table, pa.Table.from_pylist(meta, schema=META))


def city(name: str, *, backwards: bool) -> AllSteps:
    """Process a city's files in the order of their names, or in reverse."""
    steps = AllSteps()
    for file in sorted((SAMPLES / name).iterdir(), reverse=backwards):
        steps.submit(_batches(file))
    return steps


def _batches(file: Path) -> list[Batch]:
    if file.name == "enrolments.csv":
        return enrolment_batches(file)
    return (
        [csv_batch(file) if file.suffix == ".csv" else json_batch(file)]
        if file.name != "expected.json"
        else []
    )


def rows(steps: AllSteps) -> dict[tuple[str, str, str | None], Row]:
    """Return the rows of the domains' tables `person`, by domain, code and municipality."""
    table: dict[tuple[str, str, str | None], Row] = {}
    for topic, records in steps.records.items():
        for record in records if topic.startswith("domain.") else ():
            key = (topic.removeprefix("domain."), record["code"], record.get("municipality"))
            if record["entity"] == "PERSON" and record["op"] == "DELETE":
                del table[key]
            elif record["entity"] == "PERSON":
                table[key] = record["person"]
    return table


def plain(domain: str, municipality: str | None, row: Row) -> str:
    """Return a row in the format of expected.json."""
    fields = {name: str(value) if name == "birth_date" else value for name, value in row.items()}
    fields.pop("household_code", None)
    return json.dumps({**fields, "domain": domain, "municipality": municipality}, sort_keys=True)


def households(table: dict[tuple[str, str, str | None], Row]) -> list[list[str]]:
    """Return the residents whose rows in local tax share a household's code."""
    members: dict[str, list[str]] = {}
    for (domain, _, _), row in table.items():
        if domain == "local-tax" and row["status"] != "closed":
            members.setdefault(row["household_code"], []).append(f"{row['name']}{row['birth_date']}")
    return sorted(map(sorted, members.values()))


def messages(steps: AllSteps) -> list[list[list[str]]]:
    """Return each enrolled resident's messages."""
    by_resident: dict[str, list[list[str]]] = {}
    for record in steps.records["domain.portal"]:
        if record["message"]:
            reason_and_day = [record["message"]["reason"], str(record["effective_on"])]
            by_resident.setdefault(record["code"], []).append(reason_and_day)
    return sorted(map(sorted, by_resident.values()))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["city", "city-2"])
def test_a_city_gives_its_expected_contents(name: str, *, backwards: bool) -> None:
    """Rows, households, messages and rejections are equal in any order of files; no code is in two domains."""
    expected = expected_json(SAMPLES / name)
    steps = city(name, backwards=backwards)
    table = rows(steps)
    assert sorted(
        plain(domain, municipality, row) for (domain, _, municipality), row in table.items()
    ) == sorted(json.dumps(row, sort_keys=True) for row in expected["rows"])
    assert households(table) == sorted(sorted(map(_joined, members)) for members in expected["households"])
    assert messages(steps) == sorted(map(sorted, expected["portal"]))
    rejected = [
        record["notice"]
        for topic, records in steps.records.items()
        if topic.startswith("rejected.")
        for record in records
    ]
    assert sorted(rejected) == sorted(expected["refused"])
    assert _codes_of_two_domains(steps) == set()


def _joined(resident: str | list[str]) -> str:
    return resident if isinstance(resident, str) else "".join(resident)


def _codes_of_two_domains(steps: AllSteps) -> set[str]:
    seen: set[str] = set()
    twice: set[str] = set()
    for topic, records in steps.records.items():
        if topic.startswith("domain."):
            codes = {record[name] for record in records for name in ("code", "case_code")}
            codes |= {(record.get("person") or {}).get("household_code") for record in records}
            twice |= (seen & codes) - {None}
            seen |= codes
    return twice


def test_every_change_for_a_domain_is_disclosed() -> None:
    """Its one disclosure has the same code, case and revision."""
    steps = city("city", backwards=False)
    names = ("code", "case_code", "entity", "revision", "effective_on")
    for topic in [topic for topic in steps.records if topic.startswith("domain.")]:
        domain = topic.removeprefix("domain.")
        published, disclosed = steps.records[topic], steps.records[f"disclosure.{domain}"]
        assert [[record[name] for name in names] for record in published] == [
            [record[name] for name in names] for record in disclosed
        ]
        assert all(record["legal_basis"] for record in disclosed)
