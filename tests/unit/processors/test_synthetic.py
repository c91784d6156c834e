"""Household and fan-out on synthetic cities, compared with the reference model, which shares no code with them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import Actual, Expected, compare, expected
from infra.verification.synthetic.false_registrations import add_false_registrations
from infra.verification.synthetic.writing import write_city
from processors.fan_out.deserialization import read_person
from processors.fan_out.person import PersonAggregate
from schemas.reasons import Reason
from schemas.systems import DOMAINS
from schemas.systems.model import ACCOUNT_COLUMNS
from tests.unit.processors.intake_output import accounts_of, enrolments_of, notices_of
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps, process_shuffled

#: Residents, days, seed.
CITIES = ((120, 60, 3), (300, 30, 4), (60, 200, 5))


@pytest.fixture(scope="module", params=CITIES, ids=str)
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the folder of a synthetic city."""
    folder = tmp_path_factory.mktemp("city")
    residents, days, seed = request.param
    write_city(folder, residents, days, seed)
    add_false_registrations(folder, seed, per_register=10)
    yield folder
    read.cache_clear()


def registers_of(folder: Path) -> list[Path]:
    return sorted([*folder.glob("juki_*.csv"), *folder.glob("notices_*.jsonl")])


@cache
def read(folder: Path) -> tuple[dict[str, list[Row]], list[Row], Expected]:
    """Return notices by file, all other changes, and the reference model's result without Roman readings."""
    registers, enrolments, events = (
        registers_of(folder),
        folder / "enrolments.csv",
        folder / "events_portal.jsonl",
    )
    # As in `intake_output`: submissions are received in the order of their line numbers.
    topics = {path.name: f"in.juki.{path.stem.split('_')[1]}" for path in registers}
    outcome = expected(
        [*registers, enrolments, events], receipt_of=lambda file, line: (line, topics.get(file, ""))
    )
    return (
        {path.name: notices_of(path) for path in registers},
        [*enrolments_of(enrolments), *accounts_of(events)],
        without_roman(outcome),
    )


def without_roman(outcome: Expected) -> Expected:
    """Return the result without Roman readings, which only conversion adds."""
    plain = [{name: value for name, value in row.items() if name != "roman"} for row in outcome.rows]
    return replace(outcome, rows=plain)


def actual(steps: TwoSteps) -> Actual:
    """Return the contents of the stores in the format that the reference model compares."""
    stores = DomainStores(steps.outputs)
    rows = [_row(key, row) for key, row in stores.rows.items()]
    messages = [
        {
            "code": person,
            "reason": Reason(message["reason"]).japanese,
            "effective_on": message["effective_on"],
        }
        for (_, person, _), message in stores.messages.items()
    ]
    accounts = [_account(key, row) for key, row in stores.accounts.items()]
    rejected = [number for number, code in steps.rejection_codes() if code.startswith("CANCELS_")]
    return Actual(rows, messages, rejected, accounts)


def _row(key: tuple[str, str, str | None], row: Row) -> dict[str, Any]:
    domain, person, municipality = key
    facts = {name: row["facts"][name] for name in DOMAINS[domain].facts if name != "household"}
    start = {"domain": domain, "municipality": municipality, "code": person, "status": row["status"]}
    return start | facts | {"household_code": row["facts"]["household"], "effective_on": row["effective_on"]}


def _account(key: tuple[str, str, str | None], row: Row) -> dict[str, Any]:
    domain, person, municipality = key
    fields = {name: row["account"][name] for name in (*ACCOUNT_COLUMNS, "account") if name in row["account"]}
    if domain != "portal":
        del fields["account"]  # only the portal receives the account's ID; conversion removes it
    start = {"domain": domain, "municipality": municipality, "code": person, "status": row["status"]}
    return start | fields | {"effective_on": row["effective_on"]}


def conflicts(steps: TwoSteps) -> tuple[Counter[tuple[str, str | None, str]], Counter[tuple[str, str]]]:
    """Return the open conflicts of enrolments and of accounts, counted as the reference model counts them."""
    enrolments, accounts = Counter[tuple[str, str | None, str]](), Counter[tuple[str, str]]()
    for conflict in DomainStores(steps.outputs).conflicts.values():
        day = conflict["effective_on"].isoformat()
        if conflict["kind"].startswith("ACCOUNT_"):
            accounts[conflict["kind"], day] += 1
        elif conflict["kind"] == "ENROLMENT_WITHOUT_RESIDENT":
            enrolments[conflict["domain"], conflict["municipality"], day] += 1
    return enrolments, accounts


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_synthetic_city_agrees_with_the_reference_model(city: Path, seed: int | None) -> None:
    """Rows, accounts, effective days, households, messages, rejections and conflicts are equal."""
    files, others, outcome = read(city)
    steps = TwoSteps()
    if seed is None:
        for rows in files.values():
            steps.submit(rows)
        steps.change(others)
    else:
        process_shuffled(steps, files, others, random.Random(seed))  # noqa: S311
    assert compare(outcome, actual(steps)) == []
    assert conflicts(steps) == (outcome.conflicts, outcome.account_conflicts)
    assert outcome.accounts


def test_batches_do_not_matter(city: Path) -> None:
    """One record at a time or all at once: outputs, their order, and the state are equal."""
    files, others, _ = read(city)
    together, one_by_one = TwoSteps(), TwoSteps()
    rows = [row for file_rows in files.values() for row in file_rows]
    changes = [*together.accept_notices(rows), *others]
    assert [change for row in rows for change in one_by_one.accept_notices([row])] == changes[: -len(others)]
    together.change(changes)
    for change in changes:
        one_by_one.change([change])
    assert together.outputs == one_by_one.outputs
    for states in ("household_state", "fan_out_state"):
        for name, store in getattr(together, states).items():
            if name != "archive":  # many notices of a person in one batch make fewer archived segments
                other = getattr(one_by_one, states)[name]
                assert _without_archive(name, store.values) == _without_archive(name, other.values)


def _without_archive(name: str, values: dict[str, Row]) -> dict[str, Row] | dict[str, PersonAggregate]:
    """Return what a store has; of persons not which of their notices are still with them, nor the numbers of facts."""
    if name != "persons":
        return values
    persons = {key: read_person(row) for key, row in values.items()}
    return {
        key: replace(person, notices=[], archived_segments=0, archived_until=None)
        for key, person in persons.items()
    }
