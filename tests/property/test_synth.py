"""Synthetic cities are what they are meant to be, by the judgement of the reference model."""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.events.source import EventsSource
from infra.verification.reference import Expected, expected
from infra.verification.reference.notice import CHANGES
from infra.verification.synthetic.city import CITIES_MAX, ExpectedCounts
from infra.verification.synthetic.writing import write_city

pytestmark = pytest.mark.property

SEED = 20260301


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExpectedCounts]:
    """A city of 600 with two months of changes."""
    folder = tmp_path_factory.mktemp("city")
    return folder, write_city(folder, 600, 60, SEED)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("events_"))


def lines_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Every notice of the city, rows of CSV as dicts by column."""
    for path in files_of(folder):
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig" if path.suffix == ".jsonl" or raw[:1] == b"\xef" else "cp932")
        if path.suffix == ".jsonl":
            yield from (json.loads(line) for line in text.splitlines())
        elif path.name.startswith("juki"):
            yield from csv.DictReader(text.splitlines())


def comes_out_as_meant(outcome: Expected, meant: ExpectedCounts) -> None:
    assert outcome.refused == sorted(meant.refused)
    assert {it.notice for it in outcome.refusals} == set(meant.refused)
    assert outcome.accepted == meant.accepted
    assert outcome.conflicts == meant.conflicts
    assert sum(it.notice is not None for it in outcome.duplicates) == meant.duplicates


@given(residents=st.integers(30, 200), days=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_meant_as_good_is_accepted_and_what_is_meant_as_bad_refused(
    residents: int, days: int, seed: int
) -> None:
    """For any city: the same refusals, duplicates and conflicts, in whatever order the files are read."""
    with tempfile.TemporaryDirectory() as name:
        meant = write_city(Path(name), residents, days, seed)
        files = files_of(Path(name))
        outcome, reverse = expected(files), expected(files[::-1])
    comes_out_as_meant(outcome, meant)
    assert (outcome.rows, outcome.details, outcome.portal) == (reverse.rows, reverse.details, reverse.portal)
    assert outcome.households == reverse.households


def test_the_same_seed_gives_the_same_files(city: tuple[Path, ExpectedCounts], tmp_path: Path) -> None:
    """Byte by byte; another seed gives another city."""
    folder, meant = city
    assert write_city(tmp_path / "again", 600, 60, SEED) == meant
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert write_city(tmp_path / "other", 600, 60, SEED + 1) != meant


def test_every_reason_and_every_verdict_is_in_a_city(city: tuple[Path, ExpectedCounts]) -> None:
    """Also refusals of both kinds, hand-overs twice, conflicts, and residents on the way when the files end."""
    folder, meant = city
    outcome = expected(files_of(folder))
    comes_out_as_meant(outcome, meant)
    assert set(meant.accepted) == set(CHANGES)
    assert {it.reason for it in outcome.refusals} == {"overtaken", "cancels-nothing"}
    assert meant.duplicates
    assert meant.on_the_way
    assert meant.conflicts
    assert {row["status"] for row in outcome.rows} == {"active", "candidate", "closed"}


def test_lists_are_in_the_samples_disorder(city: tuple[Path, ExpectedCounts]) -> None:
    """Lists follow the day of recording; effect is before it, after it, and late; never more than 60 days ahead."""
    folder, _ = city
    ahead = 0
    for path in folder.glob("notices_*.jsonl"):
        notices = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        recorded = [it["recorded_on"] for it in notices]
        assert recorded == sorted(recorded)
        assert [it["effective_on"] for it in notices] != sorted(it["effective_on"] for it in notices)
        ahead += sum(it["effective_on"] > it["recorded_on"] for it in notices)
    assert ahead


def test_notices_by_household_and_both_kinds_of_file(city: tuple[Path, ExpectedCounts]) -> None:
    """Moves, protection and joined households without persons; CSV in UTF-8 with BOM and in CP932."""
    folder, _ = city
    by_household = {it["reason"] for it in lines_of(folder) if "persons" not in it and "household" in it}
    assert by_household >= {"転居", "転出", "世帯合併", "支援措置開始"}
    marks = Counter(path.read_bytes()[:3] == b"\xef\xbb\xbf" for path in folder.glob("juki_*.csv"))
    assert marks == {True: 2, False: 1}
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("notices_*.jsonl"))
    assert {"𠮷", "﨑", "\U000e0100"} <= set(text)


def test_late_names_and_protected_births(city: tuple[Path, ExpectedCounts]) -> None:
    """What is hard to get right is in it: changes listed late, and children protected from birth."""
    folder, _ = city
    rows = [line for line in lines_of(folder) if "住民票コード" in line]
    latest: dict[str, str] = {}
    late = 0
    for row in rows:
        day, code = row["異動日"], row["住民票コード"]
        late += row["異動事由"] in ("氏名変更", "職権修正") and day < latest.get(code, "")
        latest[code] = max(latest.get(code, ""), day)
    assert late
    assert any(row["異動事由"] == "出生" and row["支援措置"] == "1" for row in rows)


def test_two_moves_of_a_person_on_one_day(city: tuple[Path, ExpectedCounts]) -> None:
    """A to B to C, or back to A."""
    folder, _ = city
    arrivals: Counter[tuple[str, str]] = Counter()
    for it in lines_of(folder):
        if it.get("異動事由") == "転入":
            arrivals[it["住民票コード"], it["異動日"]] += 1
        elif it.get("reason") == "転入":
            arrivals.update((person["code"], it["effective_on"]) for person in it["persons"])
    assert max(arrivals.values()) == 2


def test_the_portals_events_are_lines_that_its_source_reads(city: tuple[Path, ExpectedCounts]) -> None:
    """Accounts registered, changed and closed, some a second time for a person; none is faulty."""
    folder, _ = city
    path = folder / "events_portal.jsonl"
    source = EventsSource("portal", path)
    source.open()
    assert [filed.faults for polled in iter(source.poll, []) for filed in polled] == [0]
    events = [json.loads(line)["account"] for line in path.read_text("utf-8").splitlines()]
    assert {it["event"] for it in events} == {"REGISTERED", "CHANGED", "CLOSED"}
    registered = Counter(it["code"] for it in events if it["event"] == "REGISTERED")
    assert max(registered.values()) == 2


def numbers_of(folder: Path) -> dict[str, set[str]]:
    """Every number of the city's files that another city in the same mesh must not have, by kind."""
    found: dict[str, set[str]] = {"notice": set(), "code": set(), "account": set()}
    for line in lines_of(folder):
        found["notice"].add(line.get("notice") or line["届出番号"])
        found["code"].update(person["code"] for person in line.get("persons", ()))
        found["code"].update(filter(None, [line.get("住民票コード")]))
    for event in (folder / "events_portal.jsonl").read_text("utf-8").splitlines():
        found["account"].add(json.loads(event)["account"]["account"])
    return found


def test_cities_of_different_index_have_no_number_in_common(tmp_path: Path) -> None:
    """One mesh can ingest several, even of one seed, in the same municipalities."""
    write_city(tmp_path / "first", 300, 20, SEED)
    write_city(tmp_path / "second", 300, 20, SEED, index=1)
    first, second = numbers_of(tmp_path / "first"), numbers_of(tmp_path / "second")
    assert all(first.values())
    assert not any(first[kind] & second[kind] for kind in first)


def test_an_index_out_of_range_is_an_error(tmp_path: Path) -> None:
    """Numbers of more cities than CITIES_MAX would meet."""
    with pytest.raises(ValueError, match="index"):
        write_city(tmp_path, 300, 20, SEED, index=CITIES_MAX)
