"""Household and fan-out on the sample cities, compared with their expected.json."""

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
from tests.register_files import expected_json
from tests.samples import SAMPLES
from tests.unit.processors.intake_output import enrolments_of, notices_of
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps, process_shuffled

CITIES = ("city", "city-2")


@cache
def city(name: str) -> tuple[dict[str, list[Row]], list[Row], dict[str, Any]]:
    """Return notices by file, enrolments, and the expected contents."""
    files = sorted([*(SAMPLES / name).glob("juki_*.csv"), *(SAMPLES / name).glob("notices_*.jsonl")])
    return (
        {file.name: notices_of(file) for file in files},
        enrolments_of(SAMPLES / name / "enrolments.csv"),
        expected_json(SAMPLES / name),
    )


def run(name: str, seed: int | None, times: int = 1) -> TwoSteps:
    """Process a city in whole files (no seed), or interleaved and in random batches."""
    files, enrolments, _ = city(name)
    steps = TwoSteps(serialized=seed == 0)
    for _ in range(times):
        if seed is None:
            for rows in files.values():
                steps.submit(rows)
            steps.change(enrolments)
        else:
            process_shuffled(steps, files, enrolments, random.Random(seed))  # noqa: S311
    return steps


def check(steps: TwoSteps, expected: dict[str, Any]) -> None:
    """Assert that rows, households, messages and rejections are the expected ones."""
    stores = DomainStores(steps.outputs)
    actual = Counter(_row(key, row) for key, row in stores.rows.items())
    assert actual == Counter(_expected_row(row) for row in expected["rows"])
    assert _households(stores) == sorted(expected["households"])
    assert _portal(stores) == sorted(expected["portal"])
    assert sorted(number for number, code in steps.rejection_codes() if code != "DUPLICATE") == sorted(
        expected["refused"]
    )
    kinds = {"ENROLMENT_WITHOUT_RESIDENT", "DEPARTED_NOT_ARRIVED"}
    assert {row["kind"] for row in stores.conflicts.values()} <= kinds


def _row(key: tuple[str, str, str | None], row: Row) -> str:
    domain, _, municipality = key
    visible = {name for name in DOMAINS[domain].facts if name != "household"}
    facts = {name: row["facts"][name] for name in sorted(visible)}
    return json.dumps([domain, municipality, row["status"], facts], ensure_ascii=False, default=str)


def _expected_row(row: dict[str, Any]) -> str:
    start = [row["domain"], row["municipality"], row["status"]]
    facts = {
        name: row[name] for name in sorted(row) if name not in {"domain", "municipality", "status", "roman"}
    }
    return json.dumps([*start, facts], ensure_ascii=False)


def _households(stores: DomainStores) -> list[list[str]]:
    households = defaultdict(list)
    for (domain, _, _), row in stores.rows.items():
        if domain == "local-tax" and row["status"] != "closed":
            facts = row["facts"]
            households[facts["household"]].append(facts["name"] + facts["birth_date"].isoformat())
    return sorted(sorted(members) for members in households.values())


def _portal(stores: DomainStores) -> list[list[list[str]]]:
    messages = defaultdict(list)
    for (_, person, _), message in stores.messages.items():
        term = Reason(message["reason"]).japanese
        messages[person].append([term, message["effective_on"].isoformat()])
    return sorted(sorted(reasons) for reasons in messages.values())


@pytest.mark.parametrize("name", CITIES)
def test_a_city_in_whole_files_gives_the_expected_contents(name: str) -> None:
    """Files are processed one after the other."""

    check(run(name, None), city(name)[2])


@pytest.mark.parametrize("name", CITIES)
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_does_not_matter(name: str, seed: int) -> None:
    """Registers and enrolments arrive interleaved, in random batches."""
    steps = run(name, seed)
    check(steps, city(name)[2])
    assert DomainStores(steps.outputs).content() == DomainStores(run(name, None).outputs).content()


@pytest.mark.parametrize("name", CITIES)
def test_submitting_every_file_twice_changes_nothing(name: str) -> None:
    """Every second submission is reported as a duplicate."""
    steps = run(name, 7, times=2)
    check(steps, city(name)[2])
    files, enrolments, _ = city(name)
    submissions = sum(map(len, files.values())) + len(enrolments)
    assert [code for _, code in steps.rejection_codes()].count("DUPLICATE") == submissions


def test_household_rejects_invalid_notices_that_intake_accepts(tmp_path: Path) -> None:
    """Of the faulty sample file, only lines that are valid in form reach household: it accepts the valid notices."""
    header, *rows = (SAMPLES / "bad" / "juki_131041_bad.csv").read_text(encoding="utf-8-sig").splitlines()
    valid_in_form = [row for row in rows if row.split(",")[0] in {"1", "7", "11", "12", "14", "15"}]
    path = tmp_path / "juki_131041.csv"
    path.write_text("\r\n".join([header, *valid_in_form, ""]), encoding="utf-8-sig", newline="")
    steps = TwoSteps()
    steps.submit(notices_of(path))
    assert steps.rejection_codes() == [
        ("13104-900007", "RESIDENT_UNKNOWN"),
        ("13104-900011", "DUPLICATE"),
        ("13104-900011", "NUMBER_TAKEN"),
        ("13104-900014", "BIRTH_KNOWN"),
    ]
    (row,) = DomainStores(steps.outputs).rows.values()
    assert row["facts"]["address"] == "東京都新宿区四谷3丁目3番3号"
