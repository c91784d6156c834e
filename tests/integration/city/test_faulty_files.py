"""Faulty files: a readable file is validated line by line; an unreadable one leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cities import files_of
from tests.integration.cluster import IntegrationCluster, Row
from tests.samples import SAMPLES, SMALL_CITY

#: Files of the samples, and the lines of `BAD` that are rejected.
BAD = SAMPLES / "bad" / "juki_131041_bad.csv"
CP932 = SAMPLES / "bad" / "juki_131041_cp932.csv"
REJECTED_LINES = [*range(3, 12), 14, 15, 16]
DUPLICATE_LINE = 13
HUGE_BYTES = 200_000_000


def faulty_file(folder: Path) -> Path:
    """Return the faulty file of the samples; without samples, the small city with every day spoiled."""
    if BAD.exists():
        return BAD
    file = folder / "juki_131041_bad.csv"
    lines = (SMALL_CITY / "juki_131041.csv").read_text("utf-8-sig")
    file.write_text(lines.replace(",2026-", ",2026/"), "utf-8-sig", newline="")
    return file


def test_faulty_rows_are_rejected_one_by_one(cluster: IntegrationCluster, tmp_path: Path) -> None:
    """Each rejection has file, line, notice and reason; valid rows are applied; a duplicate is reported.

    Afterwards, a file in CP932 without BOM, as old systems write it, is ingested like any other.
    """
    file = faulty_file(tmp_path)
    cluster.start_empty()
    cluster.ingest(file)
    cluster.wait_idle()
    rejections = cluster.rejections()
    assert rejections
    assert all(row["source"] == file.name and row["notice"] and row["reason"] for row in rejections)
    if file == BAD:
        assert [row["line"] for row in rejections] == REJECTED_LINES
        duplicates = [row for row in cluster.rejections(duplicates=True) if row["kind"] == "DUPLICATE"]
        assert [(row["line"], row["notice"]) for row in duplicates] == [(DUPLICATE_LINE, "13104-900011")]
        addresses = [row["address"] for row in cluster.table("local_tax", "person")]
        assert addresses == ["東京都新宿区四谷3丁目3番3号"]
        assert_validated_again(cluster, rejections[5])
        assert_reported_as_duplicates(cluster, file)
    else:
        assert not cluster.table("local_tax", "person")
    assert_cp932_is_detected(cluster, tmp_path)


def assert_validated_again(cluster: IntegrationCluster, rejection: Row) -> None:
    """Check that a resubmitted submission is validated again, and rejected as a submission of its own."""
    process = cluster.mesh("rejected", "resubmit", rejection["id"])
    assert process.returncode == 0, process.stderr
    cluster.wait_idle()
    assert [row["line"] for row in cluster.rejections()].count(rejection["line"]) == 2


def assert_reported_as_duplicates(cluster: IntegrationCluster, file: Path) -> None:
    """Check that a second ingestion of the file reports each submission as a duplicate and changes nothing."""
    before, rows = cluster.rejections(), cluster.table("local_tax", "person")
    cluster.ingest(file)
    cluster.wait_idle()
    assert cluster.rejections() == before
    assert cluster.table("local_tax", "person") == rows
    reported = [row["line"] for row in cluster.rejections(duplicates=True) if row["kind"] == "DUPLICATE"]
    assert sorted(reported) == [2, *range(3, 13), DUPLICATE_LINE, DUPLICATE_LINE, *range(14, 18)]


def assert_cp932_is_detected(cluster: IntegrationCluster, folder: Path) -> None:
    """Ingest a file in CP932, and check that its persons are applied and none of its rows is rejected for its text."""
    before, file = len(cluster.table("local_tax", "person")), CP932
    if not file.exists():
        lines = (SMALL_CITY / "juki_131041.csv").read_text("utf-8-sig").splitlines(keepends=True)
        file = folder / "juki_131041_cp932.csv"
        file.write_bytes("".join(line for line in lines if encodable(line)).encode("cp932"))
    cluster.ingest(file)
    cluster.wait_idle()
    assert len(cluster.table("local_tax", "person")) > before
    assert all(row["code"] != "ENCODING" for row in cluster.rejections())


def encodable(line: str) -> bool:
    """Return whether CP932 has every character of the line."""
    try:
        return bool(line.encode("cp932"))
    except UnicodeEncodeError:
        return False


def binary(file: Path) -> None:
    """Write bytes that are no text."""
    file.write_bytes(bytes(range(256)) * 64)


def empty(file: Path) -> None:
    """Write an empty file."""
    file.write_bytes(b"")


def other_format(file: Path) -> None:
    """Write a file of another format."""
    file.write_bytes((SMALL_CITY / "notices_131130.jsonl").read_bytes())


def huge_line(file: Path) -> None:
    """Write the header and a line of 200 MB, as a sparse file."""
    header = (SMALL_CITY / "juki_131041.csv").read_bytes().splitlines(keepends=True)[0]
    with file.open("wb") as stream:
        stream.write(header)
        stream.truncate(HUGE_BYTES)


@pytest.mark.parametrize("write", [binary, empty, other_format, huge_line])
def test_an_unreadable_file_publishes_nothing(
    cluster: IntegrationCluster, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    """The command prints one line, ends with exit code 2, and publishes nothing of the valid file before it either."""
    cluster.ensure_up()
    file = tmp_path / "juki_131041_x.csv"
    write(file)
    before = cluster.submissions_by_topic()
    process = cluster.mesh("ingest", "juki-cs", files_of(SMALL_CITY)[0], file)
    assert process.returncode == 2
    assert "juki_131041_x.csv" in process.stderr
    assert "Traceback" not in process.stderr
    assert cluster.submissions_by_topic() == before
