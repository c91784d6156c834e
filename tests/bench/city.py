"""A synthetic city as the stateful steps read it: notices and changes, as often as wanted, each time of others."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from infra.codec import codec
from infra.keys import load_keys
from infra.verification.synthetic.writing import write_city
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor
from schemas.tables import table_from_rows
from schemas.topics import NOTICE, PERSON_CHANGE
from streams.contract import Batch
from tests.bench.cluster import BenchCluster
from tests.bench.log import Prepared
from tests.unit.processors.mesh import batch_of, states
from tests.unit.processors.submissions import csv_batch, enrolment_batches, json_batch

Row = dict[str, Any]
DAYS: Final = 30
_FIRST: Final = "FIRST_REGISTERED"


@dataclass(frozen=True)
class BenchCity:
    """What its registers and domains handed over, in the mesh's codes; `changes` as household makes them."""

    notices: list[Row]
    changes: list[Row]

    @classmethod
    def of(cls, place: BenchCluster, residents: int) -> BenchCity:
        """A month of a city of so many residents, after all were registered and enrolled."""
        folder = place.folder / f"city-{residents}"
        if not folder.is_dir():
            write_city(folder, residents, DAYS, seed=1)
        intake = IntakeProcessor(load_keys(place.installation.key_file))
        notices = _taken(intake, _registers(folder), NOTICE)
        enrolments = _taken(intake, enrolment_batches(folder / "enrolments.csv"), PERSON_CHANGE)
        household, first = _household(), pc.equal(notices["reason"], _FIRST)
        changes = [*household(notices.filter(first)), *enrolments.to_pylist()]
        changes += household(notices.filter(pc.invert(first)))
        return cls(notices.to_pylist(), changes)


def notices(place: BenchCluster, city: BenchCity, numbers: Sequence[int]) -> list[Prepared]:
    """The city's notices once for each number: of other persons, households and numbers of notices each time."""
    rows = [_notice(row, number) for number in numbers for row in city.notices]
    return _prepared(place, NOTICE, "notice", rows, [row["municipality"] for row in rows])


def changes(place: BenchCluster, city: BenchCity, numbers: Sequence[int]) -> list[Prepared]:
    """The same of the changes of persons."""
    rows = [_change(row, number) for number in numbers for row in city.changes]
    return _prepared(place, PERSON_CHANGE, "person-change", rows, [row["person"] for row in rows])


def _registers(folder: Path) -> Iterator[Batch]:
    for path in sorted(folder.glob("juki_*.csv")):
        yield csv_batch(path, "utf-8-sig" if path.read_bytes().startswith(BOM_UTF8) else "cp932")
    yield from map(json_batch, sorted(folder.glob("notices_*.jsonl")))


def _taken(intake: IntakeProcessor, batches: Iterator[Batch] | list[Batch], topic: str) -> pa.Table:
    outputs = [out for batch in batches for out in intake.process([batch]).outputs if out.topic == topic]
    return pa.concat_tables([out.table for out in outputs])


def _household() -> Callable[[pa.Table], list[Row]]:
    step = HouseholdProcessor()
    state = states(step)

    def propagated(table: pa.Table) -> list[Row]:
        outputs = step.process(batch_of("notice", table.to_pylist()), state).outputs
        return [row for out in outputs if out.topic == PERSON_CHANGE for row in out.table.to_pylist()]

    return propagated


def _notice(row: Row, number: int) -> Row:
    persons = row["persons"]
    return {
        **row,
        "notice": f"{row['notice']}{number:03d}",
        "cancels": row["cancels"] and f"{row['cancels']}{number:03d}",
        "digest": _other(row["digest"], number),
        "household": _other(row["household"], number),
        "to": _facts(row["to"], number),
        "persons": persons
        and [
            {**each, "person": _other(each["person"], number), "facts": _facts(each["facts"], number)}
            for each in persons
        ],
    }


def _change(row: Row, number: int) -> Row:
    case = row["case"]
    return {
        **row,
        "person": _other(row["person"], number),
        "case": case and {**case, "notice": f"{case['notice']}{number:03d}"},
        "cancels": row["cancels"] and f"{row['cancels']}{number:03d}",
        "facts": _facts(row["facts"], number),
    }


def _facts(facts: Row | None, number: int) -> Row | None:
    return facts and {**facts, "household": _other(facts["household"], number)}


def _other(code: str | None, number: int) -> str | None:
    """Another code of the same length: the steps behind intake take codes as they are."""
    return code and f"{code[:-3]}{number:03d}"


def _prepared(
    place: BenchCluster, topic: str, schema: str, rows: list[Row], keys: list[str]
) -> list[Prepared]:
    values = codec(place.environment, place.installation).encode(schema, table_from_rows(schema, rows))
    return [Prepared(topic, key.encode(), value) for key, value in zip(keys, values.to_pylist(), strict=True)]
