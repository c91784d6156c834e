"""The source of enrolments: each row goes to its domain's own input topic."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from connectors.enrolments import EnrolmentsSource
from connectors.enrolments.enrolment_row import HEADER
from connectors.errors import UnroutableError


def poll_all(folder: Path, *lines: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a file with these lines, by topic."""
    path = folder / "enrolments.csv"
    path.write_bytes(b"".join(line + b"\r\n" for line in (HEADER.encode("utf-8-sig"), *lines)))
    source = EnrolmentsSource(path)
    source.open()
    rows: dict[str, list[dict[str, Any]]] = {}
    while batches := source.poll():
        for batch in batches:
            rows.setdefault(batch.route.topic, []).extend(batch.table.to_pylist())
    return rows


def test_each_row_goes_to_its_domains_topic(tmp_path: Path) -> None:
    """A municipal domain has a topic per municipality; the portal's row is nested in its own event."""
    rows = poll_all(
        tmp_path,
        b"child,131041,42990000011,2026-02-01",
        b"nta,,42990000011,2026-02-02",
        b"portal,,42990000011,2026-02-03",
        b"child,141097,42990000012,2026-02-04",
    )
    assert sorted(rows) == ["in.child.131041", "in.child.141097", "in.nta", "in.portal"]
    [child] = rows["in.child.131041"]
    expected = ("child", "131041", "42990000011", "2026-02-01", 2)
    assert tuple(child[name] for name in ("domain", "municipality", "code", "since", "line")) == expected
    assert rows["in.portal"][0]["enrolment"]["since"] == "2026-02-03"
    assert rows["in.portal"][0]["account"] is None
    assert rows["in.nta"][0]["municipality"] == ""


def test_a_row_of_a_domain_with_entities_is_an_event(tmp_path: Path) -> None:
    """Its schema has no domain, which is its topic's, and no first day: that is the day of effect."""
    [row] = poll_all(tmp_path, b"card,,42990000011,2026-02-03")["in.card"]
    expected = {"event": "Enrolled", "code": "42990000011", "effective_on": "2026-02-03", "municipality": ""}
    assert {name: value for name, value in row.items() if value is not None} == expected | {
        "file": "enrolments.csv",
        "line": 2,
    }


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"nta,,42990000011", "columns"),
        (b"nta,,42990000011,2026-02-01,", "columns"),
        (b"portal,,\xff,2026-02-01", "encoding"),
        (b"card,,42990000011", "columns"),
    ],
)
def test_a_row_with_a_fault_is_carried_raw(tmp_path: Path, line: bytes, fault: str) -> None:
    """If it names its domain, intake rejects it, with file and line."""
    [[row]] = poll_all(tmp_path, line).values()
    assert (row["fault"], row["line"], base64.b64decode(row["raw"])) == (fault, 2, line)


@pytest.mark.parametrize(
    "line",
    [
        b"welfare,131041,42990000011,2026-02-01",
        b"local-tax,131041,42990000011,2026-02-01",
        b"child,,42990000011,2026-02-01",
        b"child,131042,42990000011,2026-02-01",
        b"\xff,131041,42990000011,2026-02-01",
        b"nonsense",
        b'"nta',
    ],
)
def test_a_row_without_input_topic_rejects_the_whole_file(tmp_path: Path, line: bytes) -> None:
    """The error names the line and shows no content."""
    with pytest.raises(UnroutableError, match="in line 3") as caught:
        poll_all(tmp_path, b"nta,,42990000011,2026-02-01", line)
    assert "4299" not in str(caught.value)
