"""Faulty input: what can be read is judged line by line; what can't be taken in at all leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cities import files_of
from tests.integration.cluster import IntegrationCluster, Row
from tests.samples import SAMPLES, SMALL_CITY

#: What each line refused must say, by the file's running number: words of the reason.
BAD = SAMPLES / "bad" / "juki_131041_bad.csv"
CP932 = SAMPLES / "bad" / "juki_131041_cp932.csv"
REFUSED_LINES = [*range(3, 12), 14, 15, 16]
DUPLICATE_LINE = 13
HUGE_BYTES = 200_000_000


def spoiled(folder: Path) -> Path:
    """The samples' faulty file, or where they aren't there the committed city's with every day spoiled."""
    if BAD.exists():
        return BAD
    file = folder / "juki_131041_bad.csv"
    whole = (SMALL_CITY / "juki_131041.csv").read_text("utf-8-sig")
    file.write_text(whole.replace(",2026-", ",2026/"), "utf-8-sig", newline="")
    return file


def test_faulty_rows_are_refused_one_by_one(place: IntegrationCluster, tmp_path: Path) -> None:
    """Each refusal has file, line, notice and reason; good rows between them are applied; a repetition is reported."""
    file = spoiled(tmp_path)
    place.begin_anew()
    place.take_in(file)
    place.settle()
    refused = place.refusals()
    assert refused
    assert all(row["source"] == file.name and row["notice"] and row["reason"] for row in refused)
    if file == BAD:
        assert [row["line"] for row in refused] == REFUSED_LINES
        twice = [row for row in place.refusals(duplicates=True) if row["kind"] == "DUPLICATE"]
        assert [(row["line"], row["notice"]) for row in twice] == [(DUPLICATE_LINE, "13104-900011")]
        addresses = [row["address"] for row in place.table("local_tax", "person")]
        assert addresses == ["東京都新宿区四谷3丁目3番3号"]
        assert_judged_anew(place, refused[5])
        assert_reported(place, file)
    else:
        assert not place.table("local_tax", "person")


def assert_judged_anew(place: IntegrationCluster, refusal: Row) -> None:
    """An officer sends it again as it came: it is refused once more, by a hand-over of its own."""
    resent = place.mesh("rejected", "resubmit", refusal["id"])
    assert resent.returncode == 0, resent.stderr
    place.settle()
    assert [row["line"] for row in place.refusals()].count(refusal["line"]) == 2


def assert_reported(place: IntegrationCluster, file: Path) -> None:
    """Handed over once more, each hand-over of the file is reported as a duplicate, and nothing is new."""
    before, rows = place.refusals(), place.table("local_tax", "person")
    place.take_in(file)
    place.settle()
    assert place.refusals() == before
    assert place.table("local_tax", "person") == rows
    reported = [row["line"] for row in place.refusals(duplicates=True) if row["kind"] == "DUPLICATE"]
    assert sorted(reported) == [2, *range(3, 13), DUPLICATE_LINE, DUPLICATE_LINE, *range(14, 18)]


def test_cp932_is_found_out(place: IntegrationCluster, tmp_path: Path) -> None:
    """A file of an old system, CP932 without BOM, is taken in like any other."""
    file = CP932
    if not file.exists():
        whole = (SMALL_CITY / "juki_131041.csv").read_text("utf-8-sig").splitlines(keepends=True)
        file = tmp_path / "juki_131041_cp932.csv"
        file.write_bytes("".join(line for line in whole if encodable(line)).encode("cp932"))
    place.begin_anew()
    place.take_in(file)
    place.settle()
    assert place.table("local_tax", "person")
    assert all(row["code"] != "ENCODING" for row in place.refusals())


def encodable(line: str) -> bool:
    """Whether CP932 has all of it."""
    try:
        return bool(line.encode("cp932"))
    except UnicodeEncodeError:
        return False


def binary(file: Path) -> None:
    """What no register writes."""
    file.write_bytes(bytes(range(256)) * 64)


def empty(file: Path) -> None:
    """Nothing."""
    file.write_bytes(b"")


def other_format(file: Path) -> None:
    """Another register's way of handing over."""
    file.write_bytes((SMALL_CITY / "notices_131130.jsonl").read_bytes())


def huge_line(file: Path) -> None:
    """The header, and a line of 200 MB that takes no place on disk."""
    header = (SMALL_CITY / "juki_131041.csv").read_bytes().splitlines(keepends=True)[0]
    with file.open("wb") as stream:
        stream.write(header)
        stream.truncate(HUGE_BYTES)


@pytest.mark.parametrize("written", [binary, empty, other_format, huge_line])
def test_what_is_no_register_file_leaves_nothing(
    place: IntegrationCluster, tmp_path: Path, written: Callable[[Path], None]
) -> None:
    """A clear message of one line, exit 2, and nothing published: not of the good file before it either."""
    place.present()
    file = tmp_path / "juki_131041_x.csv"
    written(file)
    before = place.handed_over()
    ended = place.mesh("ingest", "juki-cs", files_of(SMALL_CITY)[0], file)
    assert ended.returncode == 2
    assert "juki_131041_x.csv" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert place.handed_over() == before
