"""Household and fan-out on the sample cities: what must come of them stands in their expected.json."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from schemas.reasons import Reason
from schemas.systems import DOMAINS
from tests.samples import SAMPLES
from tests.unit.processors.intake_output import enrolments_of, notices_of
from tests.unit.processors.mesh import Mesh, Row, Stores, shuffled

CITIES = ("city", "city-2")


@cache
def city(name: str) -> tuple[dict[str, list[Row]], list[Row], dict[str, Any]]:
    """Notices by file, enrolments, and what must come of them."""
    files = sorted([*(SAMPLES / name).glob("juki_*.csv"), *(SAMPLES / name).glob("notices_*.jsonl")])
    expected = json.loads((SAMPLES / name / "expected.json").read_text(encoding="utf-8"))
    return (
        {file.name: notices_of(file) for file in files},
        enrolments_of(SAMPLES / name / "enrolments.csv"),
        expected,
    )


def run(name: str, seed: int | None, times: int = 1) -> Mesh:
    """A city through both steps: in whole files (no seed), or interleaved and cut into batches at random."""
    files, enrolments, _ = city(name)
    mesh = Mesh(through=seed == 0)
    for _ in range(times):
        if seed is None:
            for rows in files.values():
                mesh.submit(rows)
            mesh.change(enrolments)
        else:
            shuffled(mesh, files, enrolments, random.Random(seed))  # noqa: S311
    return mesh


def check(mesh: Mesh, expected: dict[str, Any]) -> None:
    """Rows, households, messages and refusals are those expected."""
    stores = Stores(mesh.told)
    got = Counter(_row(key, row) for key, row in stores.rows.items())
    assert got == Counter(_expected_row(row) for row in expected["rows"])
    assert _households(stores) == sorted(expected["households"])
    assert _portal(stores) == sorted(expected["portal"])
    assert sorted(number for number, code in mesh.codes() if code != "DUPLICATE") == sorted(
        expected["refused"]
    )
    assert {row["kind"] for row in stores.conflicts.values()} <= {"ENROLMENT_WITHOUT_RESIDENT"}


def _row(key: tuple[str, str, str | None], row: Row) -> str:
    domain, _, municipality = key
    shown = {name for name in DOMAINS[domain].facts if name != "household"}
    facts = {name: row["facts"][name] for name in sorted(shown)}
    return json.dumps([domain, municipality, row["status"], facts], ensure_ascii=False, default=str)


def _expected_row(row: dict[str, Any]) -> str:
    about = [row["domain"], row["municipality"], row["status"]]
    facts = {
        name: row[name] for name in sorted(row) if name not in {"domain", "municipality", "status", "roman"}
    }
    return json.dumps([*about, facts], ensure_ascii=False)


def _households(stores: Stores) -> list[list[str]]:
    households = defaultdict(list)
    for (domain, _, _), row in stores.rows.items():
        if domain == "local-tax" and row["status"] != "closed":
            facts = row["facts"]
            households[facts["household"]].append(facts["name"] + facts["birth_date"].isoformat())
    return sorted(sorted(each) for each in households.values())


def _portal(stores: Stores) -> list[list[list[str]]]:
    messages = defaultdict(list)
    for (_, person, _), message in stores.messages.items():
        term = Reason(message["reason"]).japanese
        messages[person].append([term, message["effective_on"].isoformat()])
    return sorted(sorted(each) for each in messages.values())


@pytest.mark.parametrize("name", CITIES)
def test_files_one_after_the_other(name: str) -> None:
    """The stores hold what expected.json says."""
    check(run(name, None), city(name)[2])


@pytest.mark.parametrize("name", CITIES)
@pytest.mark.parametrize("seed", range(4))
def test_any_interleaving(name: str, seed: int) -> None:
    """In whatever order lists and enrolments arrive and are cut into batches, the stores end the same."""
    mesh = run(name, seed)
    check(mesh, city(name)[2])
    assert Stores(mesh.told).content() == Stores(run(name, None).told).content()


@pytest.mark.parametrize("name", CITIES)
def test_every_file_twice(name: str) -> None:
    """A file submitted again is reported as duplicates, and changes nothing."""
    mesh = run(name, 7, times=2)
    check(mesh, city(name)[2])
    files, enrolments, _ = city(name)
    handed_over = sum(map(len, files.values())) + len(enrolments)
    assert [code for _, code in mesh.codes()].count("DUPLICATE") == handed_over


def test_the_bad_file_as_far_as_its_list_judges_it(tmp_path: Path) -> None:
    """Of what intake lets pass, the good ones are taken, and each other is refused or reported for its own reason."""
    header, *rows = (SAMPLES / "bad" / "juki_131041_bad.csv").read_text(encoding="utf-8-sig").splitlines()
    passing = [row for row in rows if row.split(",")[0] in {"1", "7", "11", "12", "14", "15"}]
    path = tmp_path / "juki_131041.csv"
    path.write_text("\r\n".join([header, *passing, ""]), encoding="utf-8-sig", newline="")
    mesh = Mesh()
    mesh.submit(notices_of(path))
    assert mesh.codes() == [
        ("13104-900007", "RESIDENT_UNKNOWN"),
        ("13104-900011", "DUPLICATE"),
        ("13104-900011", "NUMBER_TAKEN"),
        ("13104-900014", "BIRTH_KNOWN"),
    ]
    (row,) = Stores(mesh.told).rows.values()
    assert row["facts"]["address"] == "東京都新宿区四谷3丁目3番3号"
