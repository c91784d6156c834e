"""The sides that process a record at a time give the same records as the steps they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.tables import table_from_rows
from tests.bench.sides.avro import Avro
from tests.bench.sides.rules import FanOutRules, HouseholdRules, StepRules
from tests.unit.processors.intake_output import enrolments_of, notices_of
from tests.unit.processors.two_steps import Row, TwoSteps, empty_state

CITY = Path(__file__).parents[2] / "data" / "samples" / "city"
NOTICES = 300


def records_of(rules: StepRules, rows: Sequence[Row], state: Any) -> dict[str, list[Row]]:
    """Return the output records by topic, each by its schema's columns."""
    records: dict[str, list[Row]] = {}
    for row in table_from_rows(rules.schema, rows).to_pylist():
        for output in rules.process(row, state):
            [record] = table_from_rows(output.schema, [output.row]).to_pylist()
            records.setdefault(output.topic, []).append(record)
    return records


@pytest.fixture(scope="module")
def notices() -> list[Row]:
    """Return the first notices of a municipality."""
    return notices_of(CITY / "juki_131041.csv")[:NOTICES]


def no_avro() -> Avro:
    """Nothing is encoded here."""
    return cast("Avro", None)


def test_household_a_record_at_a_time(notices: list[Row]) -> None:
    """The same records on every topic, in the same order."""
    steps = TwoSteps()
    steps.accept_notices(notices)
    assert records_of(HouseholdRules(no_avro()), notices, empty_state(steps.household)) == steps.outputs


def test_fan_out_a_record_at_a_time(notices: list[Row]) -> None:
    """The same records on every topic, in the same order."""
    steps = TwoSteps()
    changes = [*steps.accept_notices(notices), *enrolments_of(CITY / "enrolments.csv")[:NOTICES]]
    steps.outputs.clear()
    steps.change(changes)
    assert records_of(FanOutRules(no_avro()), changes, empty_state(steps.fan_out)) == steps.outputs
