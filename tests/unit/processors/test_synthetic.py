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

from infra.reference import Actual, Expected, compare, expected
from infra.synth.writing import write_city
from schemas.reasons import Reason
from schemas.systems import DOMAINS
from tests.unit.processors.feeding import enrolments_of, notices_of
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
    """Notices by file, enrolments, and what the reference model makes of them (but for the Roman letters)."""
    registers, enrolments = registers_of(folder), folder / "enrolments.csv"
    outcome = expected([*registers, enrolments])
    plain = [{name: value for name, value in row.items() if name != "roman"} for row in outcome.rows]
    return (
        {path.name: notices_of(path) for path in registers},
        enrolments_of(enrolments),
        replace(outcome, rows=plain),
    )


def actual(mesh: Mesh) -> Actual:
    """What the stores hold, as the reference model compares it."""
    stores = Stores(mesh.told)
    rows = [_row(key, row) for key, row in stores.rows.items()]
    messages = [
        {"code": person, "reason": Reason(each["reason"]).japanese, "effective_on": each["effective_on"]}
        for (_, person, _), each in stores.messages.items()
    ]
    return Actual(rows, messages, [number for number, code in mesh.codes() if code.startswith("CANCELS_")])


def _row(key: tuple[str, str, str | None], row: Row) -> dict[str, Any]:
    domain, person, municipality = key
    facts = {name: row["facts"][name] for name in DOMAINS[domain].facts if name != "household"}
    about = {"domain": domain, "municipality": municipality, "code": person, "status": row["status"]}
    return about | facts | {"household_code": row["facts"]["household"], "effective_on": row["effective_on"]}


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_reference_model_comes_to_the_same(city: Path, seed: int | None) -> None:
    """Rows, days of effect, households, messages, refused cancellations, conflicts: as the reference model says."""
    files, enrolments, outcome = read(city)
    mesh = Mesh()
    if seed is None:
        for rows in files.values():
            mesh.submit(rows)
        mesh.change(enrolments)
    else:
        shuffled(mesh, files, enrolments, random.Random(seed))  # noqa: S311
    assert compare(outcome, actual(mesh)) == []
    conflicts = Stores(mesh.told).conflicts.values()
    assert {each["kind"] for each in conflicts} <= {"ENROLMENT_WITHOUT_RESIDENT"}
    shown = Counter((c["domain"], c["municipality"], c["effective_on"].isoformat()) for c in conflicts)
    assert shown == outcome.conflicts


def test_batches_do_not_matter(city: Path) -> None:
    """One record at a time or all at once: the same records go out, in the same order, and the same is kept."""
    files, enrolments, _ = read(city)
    whole, single = Mesh(), Mesh()
    rows = [row for listed in files.values() for row in listed]
    changes = [*whole.list_notices(rows), *enrolments]
    assert [change for row in rows for change in single.list_notices([row])] == changes[: -len(enrolments)]
    whole.change(changes)
    for change in changes:
        single.change([change])
    assert whole.told == single.told
    for states in ("household_state", "fan_out_state"):
        for name, store in getattr(whole, states).items():
            if name != "chapters":  # a batch of many notices of a person makes fewer of them
                assert _without_chapters(store.values) == _without_chapters(
                    getattr(single, states)[name].values
                )


def _without_chapters(values: dict[str, Row]) -> dict[str, Row]:
    apart = ("notices", "chapters", "sealed_until")
    return {key: {n: v for n, v in row.items() if n not in apart} for key, row in values.items()}
