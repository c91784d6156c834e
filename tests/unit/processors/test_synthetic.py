"""Household and fan-out on synthetic cities, held against the reference model, which shares no code with them."""

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
from infra.verification.synthetic.writing import write_city
from schemas.reasons import Reason
from schemas.systems import DOMAINS
from schemas.systems.model import ACCOUNT_COLUMNS
from tests.unit.processors.intake_output import accounts_of, enrolments_of, notices_of
from tests.unit.processors.mesh import Mesh, Row, Stores, shuffled

#: Residents, days, seed.
CITIES = ((120, 60, 3), (300, 30, 4), (60, 200, 5))


@pytest.fixture(scope="module", params=CITIES, ids=str)
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A synthetic city's folder."""
    folder = tmp_path_factory.mktemp("city")
    residents, days, seed = request.param
    write_city(folder, residents, days, seed)
    yield folder
    read.cache_clear()


def registers_of(folder: Path) -> list[Path]:
    return sorted([*folder.glob("juki_*.csv"), *folder.glob("notices_*.jsonl")])


@cache
def read(folder: Path) -> tuple[dict[str, list[Row]], list[Row], Expected]:
    """Notices by file, all else, and what the reference model makes of them (but for the Roman letters)."""
    registers, enrolments, events = (
        registers_of(folder),
        folder / "enrolments.csv",
        folder / "events_portal.jsonl",
    )
    outcome = expected([*registers, enrolments, events])
    return (
        {path.name: notices_of(path) for path in registers},
        [*enrolments_of(enrolments), *accounts_of(events)],
        without_roman(outcome),
    )


def without_roman(outcome: Expected) -> Expected:
    """Roman letters come in with conversion."""
    plain = [{name: value for name, value in row.items() if name != "roman"} for row in outcome.rows]
    return replace(outcome, rows=plain)


def actual(mesh: Mesh) -> Actual:
    """What the stores hold, as the reference model compares it."""
    stores = Stores(mesh.told)
    rows = [_row(key, row) for key, row in stores.rows.items()]
    messages = [
        {"code": person, "reason": Reason(each["reason"]).japanese, "effective_on": each["effective_on"]}
        for (_, person, _), each in stores.messages.items()
    ]
    accounts = [_account(key, row) for key, row in stores.accounts.items()]
    refused = [number for number, code in mesh.codes() if code.startswith("CANCELS_")]
    return Actual(rows, messages, refused, accounts)


def _row(key: tuple[str, str, str | None], row: Row) -> dict[str, Any]:
    domain, person, municipality = key
    facts = {name: row["facts"][name] for name in DOMAINS[domain].facts if name != "household"}
    about = {"domain": domain, "municipality": municipality, "code": person, "status": row["status"]}
    return about | facts | {"household_code": row["facts"]["household"], "effective_on": row["effective_on"]}


def _account(key: tuple[str, str, str | None], row: Row) -> dict[str, Any]:
    domain, person, municipality = key
    told = {name: row["account"][name] for name in (*ACCOUNT_COLUMNS, "account") if name in row["account"]}
    if domain != "portal":
        del told["account"]  # its own id is the ledger's alone; conversion leaves it away
    about = {"domain": domain, "municipality": municipality, "code": person, "status": row["status"]}
    return about | told | {"effective_on": row["effective_on"]}


def conflicts(mesh: Mesh) -> tuple[Counter[tuple[str, str | None, str]], Counter[tuple[str, str]]]:
    """Open conflicts of enrolments and of accounts, counted as the reference model counts them."""
    enrolments, accounts = Counter[tuple[str, str | None, str]](), Counter[tuple[str, str]]()
    for it in Stores(mesh.told).conflicts.values():
        day = it["effective_on"].isoformat()
        if it["kind"].startswith("ACCOUNT_"):
            accounts[it["kind"], day] += 1
        else:
            assert it["kind"] == "ENROLMENT_WITHOUT_RESIDENT"
            enrolments[it["domain"], it["municipality"], day] += 1
    return enrolments, accounts


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_reference_model_comes_to_the_same(city: Path, seed: int | None) -> None:
    """Rows, accounts, days of effect, households, messages, refusals, conflicts: as the reference model says."""
    files, others, outcome = read(city)
    mesh = Mesh()
    if seed is None:
        for rows in files.values():
            mesh.submit(rows)
        mesh.change(others)
    else:
        shuffled(mesh, files, others, random.Random(seed))  # noqa: S311
    assert compare(outcome, actual(mesh)) == []
    assert conflicts(mesh) == (outcome.conflicts, outcome.account_conflicts)
    assert outcome.accounts


def test_batches_do_not_matter(city: Path) -> None:
    """One record at a time or all at once: the same records go out, in the same order, and the same is kept."""
    files, others, _ = read(city)
    whole, single = Mesh(), Mesh()
    rows = [row for listed in files.values() for row in listed]
    changes = [*whole.list_notices(rows), *others]
    assert [change for row in rows for change in single.list_notices([row])] == changes[: -len(others)]
    whole.change(changes)
    for change in changes:
        single.change([change])
    assert whole.told == single.told
    for states in ("household_state", "fan_out_state"):
        for name, store in getattr(whole, states).items():
            if name != "archive":  # a batch of many notices of a person makes fewer of them
                assert _without_chapters(store.values) == _without_chapters(
                    getattr(single, states)[name].values
                )


def _without_chapters(values: dict[str, Row]) -> dict[str, Row]:
    apart = ("notices", "archived_segments", "archived_until")
    return {key: {n: v for n, v in row.items() if n not in apart} for key, row in values.items()}
