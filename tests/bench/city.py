"""A synthetic city as input of the stateful steps: notices and changes, copied to any number of cities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from infra.coding import codec
from infra.keys import load_keys
from infra.verification.synthetic.writing import write_city
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor
from schemas.tables import table_from_rows
from schemas.topics import NOTICE, PERSON_CHANGE
from streams.contract import Batch
from tests.bench.cluster import BenchCluster
from tests.bench.log import PreparedRecord
from tests.unit.processors.submissions import csv_batch, enrolment_batches, json_batch
from tests.unit.processors.two_steps import batch_of, empty_state

Row = dict[str, Any]
DAYS: Final = 30
_FIRST: Final = "FIRST_REGISTERED"


@dataclass(frozen=True)
class BenchCity:
    """Rows of a city's notices with mesh codes, and of the person changes that household makes of them."""

    notices: list[Row]
    changes: list[Row]

    @classmethod
    def of(cls, cluster: BenchCluster, residents: int) -> BenchCity:
        """Return a city: first registrations and enrolments of `residents`, then a month of changes."""
        folder = cluster.folder / f"city-{residents}"
        if not folder.is_dir():
            write_city(folder, residents, DAYS, seed=1)
        intake = IntakeProcessor(load_keys(cluster.installation.key_file))
        notices = _intake_output(intake, _registers(folder), NOTICE)
        enrolments = _intake_output(intake, enrolment_batches(folder / "enrolments.csv"), PERSON_CHANGE)
        household, first = _household_step(), pc.equal(notices["reason"], _FIRST)
        changes = [*household(notices.filter(first)), *enrolments.to_pylist()]
        changes += household(notices.filter(pc.invert(first)))
        return cls(notices.to_pylist(), changes)


def notices(cluster: BenchCluster, city: BenchCity, numbers: Sequence[int]) -> list[PreparedRecord]:
    """Return the city's notices once per number, each time with other persons, households and notice numbers."""
    rows = [_notice(row, number) for number in numbers for row in city.notices]
    return _encode(cluster, NOTICE, "notice", rows, [row["municipality"] for row in rows])


def changes(cluster: BenchCluster, city: BenchCity, numbers: Sequence[int]) -> list[PreparedRecord]:
    """Return the city's person changes once per number, each time with other persons, households and notice numbers."""
    rows = [_change(row, number) for number in numbers for row in city.changes]
    return _encode(cluster, PERSON_CHANGE, "person-change", rows, [row["person"] for row in rows])


def _registers(folder: Path) -> Iterator[Batch]:
    for path in sorted(folder.glob("juki_*.csv")):
        yield csv_batch(path)
    yield from map(json_batch, sorted(folder.glob("notices_*.jsonl")))


def _intake_output(intake: IntakeProcessor, batches: Iterator[Batch] | list[Batch], topic: str) -> pa.Table:
    outputs = [out for batch in batches for out in intake.process([batch]).outputs if out.topic == topic]
    return pa.concat_tables([out.table for out in outputs])


def _household_step() -> Callable[[pa.Table], list[Row]]:
    step = HouseholdProcessor()
    state = empty_state(step)

    def person_changes(table: pa.Table) -> list[Row]:
        outputs = step.process(batch_of("notice", table.to_pylist()), state).outputs
        return [row for out in outputs if out.topic == PERSON_CHANGE for row in out.table.to_pylist()]

    return person_changes


def _notice(row: Row, number: int) -> Row:
    persons = row["persons"]
    return {
        **row,
        "notice": f"{row['notice']}{number:03d}",
        "cancels": row["cancels"] and f"{row['cancels']}{number:03d}",
        "digest": _with_number(row["digest"], number),
        "household": _with_number(row["household"], number),
        "to": _facts(row["to"], number),
        "persons": persons
        and [
            {
                **person,
                "person": _with_number(person["person"], number),
                "facts": _facts(person["facts"], number),
            }
            for person in persons
        ],
    }


def _change(row: Row, number: int) -> Row:
    case = row["case"]
    return {
        **row,
        "person": _with_number(row["person"], number),
        "case": case and {**case, "notice": f"{case['notice']}{number:03d}"},
        "cancels": row["cancels"] and f"{row['cancels']}{number:03d}",
        "facts": _facts(row["facts"], number),
    }


def _facts(facts: Row | None, number: int) -> Row | None:
    return facts and {**facts, "household": _with_number(facts["household"], number)}


def _with_number(code: str | None, number: int) -> str | None:
    """Return another code of the same length: the steps after intake don't check codes."""
    return code and f"{code[:-3]}{number:03d}"


def _encode(
    cluster: BenchCluster, topic: str, schema: str, rows: list[Row], keys: list[str]
) -> list[PreparedRecord]:
    values = codec(cluster.environment, cluster.installation).encode(schema, table_from_rows(schema, rows))
    return [
        PreparedRecord(topic, key.encode(), value)
        for key, value in zip(keys, values.to_pylist(), strict=True)
    ]
