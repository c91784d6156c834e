"""Synthetic cities: the reference model finds the counts that the generator expects."""

from __future__ import annotations

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
from infra.verification.reference.notice import CHANGED_FACTS
from infra.verification.synthetic.city import CITIES_MAX, ExpectedCounts
from infra.verification.synthetic.writing import write_city
from tests.register_files import csv_rows, json_lines

pytestmark = pytest.mark.property

SEED = 20260301


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExpectedCounts]:
    """Return the folder of a city of 600 residents with two months of changes, and its expected counts."""
    folder = tmp_path_factory.mktemp("city")
    return folder, write_city(folder, 600, 60, SEED)


def files_of(folder: Path) -> list[Path]:
    """Return a city's registers and enrolments."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("events_"))


def notices_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield all notices of a city; a CSV row is a dict by column."""
    for path in files_of(folder):
        if path.suffix == ".jsonl":
            yield from (json.loads(text) for _, text in json_lines(path))
        elif path.name.startswith("juki"):
            yield from (row for _, row in csv_rows(path))


def assert_counts(outcome: Expected, counts: ExpectedCounts) -> None:
    """Assert that the reference model's result has the generator's counts."""
    assert outcome.rejected_cancellations == sorted(counts.rejected)
    assert {rejection.notice for rejection in outcome.rejections} == set(counts.rejected)
    assert outcome.accepted == counts.accepted
    assert outcome.conflicts == counts.conflicts
    assert sum(duplicate.notice is not None for duplicate in outcome.duplicates) == counts.duplicates


@given(residents=st.integers(30, 200), days=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_the_model_accepts_and_rejects_what_the_generator_expects(
    residents: int, days: int, seed: int
) -> None:
    """Rejections, duplicates and conflicts are as expected in any city, whatever the order of the files."""
    with tempfile.TemporaryDirectory() as name:
        counts = write_city(Path(name), residents, days, seed)
        files = files_of(Path(name))
        outcome, reverse = expected(files), expected(files[::-1])
    assert_counts(outcome, counts)
    assert (outcome.rows, outcome.details, outcome.portal) == (reverse.rows, reverse.details, reverse.portal)
    assert outcome.households == reverse.households


def test_the_same_seed_gives_the_same_files(city: tuple[Path, ExpectedCounts], tmp_path: Path) -> None:
    """Files are equal byte by byte; another seed gives another city."""
    folder, counts = city
    assert write_city(tmp_path / "again", 600, 60, SEED) == counts
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert write_city(tmp_path / "other", 600, 60, SEED + 1) != counts


def test_a_city_has_every_reason_and_every_outcome(city: tuple[Path, ExpectedCounts]) -> None:
    """It has rejections of both kinds, duplicates, conflicts, and moves that are pending when the files end."""
    folder, counts = city
    outcome = expected(files_of(folder))
    assert_counts(outcome, counts)
    assert set(counts.accepted) == set(CHANGED_FACTS)
    assert {rejection.reason for rejection in outcome.rejections} == {"overtaken", "cancels-nothing"}
    assert counts.duplicates
    assert counts.pending_moves
    assert counts.conflicts
    assert {row["status"] for row in outcome.rows} == {"active", "candidate", "closed"}


def test_notices_are_ordered_by_recording_not_by_effect(city: tuple[Path, ExpectedCounts]) -> None:
    """The day of effect is before or after the day of recording."""
    folder, _ = city
    recorded_early = 0
    for path in folder.glob("notices_*.jsonl"):
        notices = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        recorded = [notice["recorded_on"] for notice in notices]
        effective = [notice["effective_on"] for notice in notices]
        assert recorded == sorted(recorded)
        assert effective != sorted(effective)
        recorded_early += sum(effect > record for effect, record in zip(effective, recorded, strict=True))
    assert recorded_early


def test_a_city_has_notices_by_household_and_all_encodings(city: tuple[Path, ExpectedCounts]) -> None:
    """Moves, protection and joined households occur without persons; CSV is in UTF-8 with BOM and in CP932."""
    folder, _ = city
    by_household = {
        notice["reason"] for notice in notices_of(folder) if "persons" not in notice and "household" in notice
    }
    assert by_household >= {"転居", "転出", "世帯合併", "支援措置開始"}
    with_bom = Counter(path.read_bytes()[:3] == b"\xef\xbb\xbf" for path in folder.glob("juki_*.csv"))
    assert with_bom == {True: 2, False: 1}
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("notices_*.jsonl"))
    assert {"𠮷", "﨑", "\U000e0100"} <= set(text)


def test_a_city_has_late_changes_and_protected_births(city: tuple[Path, ExpectedCounts]) -> None:
    """Changes recorded after later notices, and children protected from birth, are hard to process correctly."""
    folder, _ = city
    rows = [notice for notice in notices_of(folder) if "住民票コード" in notice]
    latest: dict[str, str] = {}
    late = 0
    for row in rows:
        day, code = row["異動日"], row["住民票コード"]
        late += row["異動事由"] in ("氏名変更", "職権修正") and day < latest.get(code, "")
        latest[code] = max(latest.get(code, ""), day)
    assert late
    assert any(row["異動事由"] == "出生" and row["支援措置"] == "1" for row in rows)


def test_a_city_has_two_moves_of_a_person_on_one_day(city: tuple[Path, ExpectedCounts]) -> None:
    """A person moves from A to B and on to C, or back to A."""
    folder, _ = city
    arrivals: Counter[tuple[str, str]] = Counter()
    for notice in notices_of(folder):
        if notice.get("異動事由") == "転入":
            arrivals[notice["住民票コード"], notice["異動日"]] += 1
        elif notice.get("reason") == "転入":
            arrivals.update((person["code"], notice["effective_on"]) for person in notice["persons"])
    assert max(arrivals.values()) == 2


def test_the_source_reads_all_events_of_the_portal(city: tuple[Path, ExpectedCounts]) -> None:
    """No line is faulty. Accounts are registered, changed and closed; some persons register two."""
    folder, _ = city
    path = folder / "events_portal.jsonl"
    source = EventsSource("portal", path)
    source.open()
    assert [batch.faults for batches in iter(source.poll, []) for batch in batches] == [0]
    events = [json.loads(line)["account"] for line in path.read_text("utf-8").splitlines()]
    assert {event["event"] for event in events} == {"REGISTERED", "CHANGED", "CLOSED"}
    registered = Counter(event["code"] for event in events if event["event"] == "REGISTERED")
    assert max(registered.values()) == 2


def numbers_of(folder: Path) -> dict[str, set[str]]:
    """Return the numbers that another city in the same mesh must not have, by kind."""
    numbers: dict[str, set[str]] = {"notice": set(), "code": set(), "account": set()}
    for notice in notices_of(folder):
        numbers["notice"].add(notice.get("notice") or notice["届出番号"])
        numbers["code"].update(person["code"] for person in notice.get("persons", ()))
        numbers["code"].update(filter(None, [notice.get("住民票コード")]))
    for event in (folder / "events_portal.jsonl").read_text("utf-8").splitlines():
        numbers["account"].add(json.loads(event)["account"]["account"])
    return numbers


def test_cities_of_different_index_have_no_number_in_common(tmp_path: Path) -> None:
    """One mesh can ingest both, although seed and municipalities are the same."""
    write_city(tmp_path / "first", 300, 20, SEED)
    write_city(tmp_path / "second", 300, 20, SEED, index=1)
    first, second = numbers_of(tmp_path / "first"), numbers_of(tmp_path / "second")
    assert all(first.values())
    assert not any(first[kind] & second[kind] for kind in first)


def test_an_index_out_of_range_is_an_error(tmp_path: Path) -> None:
    """Numbers of more than CITIES_MAX cities would overlap."""
    with pytest.raises(ValueError, match="index"):
        write_city(tmp_path, 300, 20, SEED, index=CITIES_MAX)
