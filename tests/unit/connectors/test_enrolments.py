"""Enrolments: each row to its domain's own topic."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from connectors.enrolments import EnrolmentsSource
from connectors.enrolments.enrolment_row import HEADER
from connectors.errors import UnroutableError


def polled(folder: Path, *lines: bytes) -> dict[str, list[dict[str, Any]]]:
    path = folder / "enrolments.csv"
    path.write_bytes(b"".join(line + b"\r\n" for line in (HEADER.encode("utf-8-sig"), *lines)))
    source = EnrolmentsSource(path)
    source.open()
    found: dict[str, list[dict[str, Any]]] = {}
    while batch := source.poll():
        for hand_overs in batch:
            found.setdefault(hand_overs.route.topic, []).extend(hand_overs.table.to_pylist())
    return found


def test_each_row_goes_to_its_domains_topic(tmp_path: Path) -> None:
    """A municipal domain's to the municipality's, a national one's to its own, the portal's as its event."""
    found = polled(
        tmp_path,
        b"child,131041,42990000011,2026-02-01",
        b"nta,,42990000011,2026-02-02",
        b"portal,,42990000011,2026-02-03",
        b"child,141097,42990000012,2026-02-04",
    )
    assert sorted(found) == ["in.child.131041", "in.child.141097", "in.nta", "in.portal"]
    [child] = found["in.child.131041"]
    said = ("child", "131041", "42990000011", "2026-02-01", 2)
    assert tuple(child[name] for name in ("domain", "municipality", "code", "since", "line")) == said
    assert found["in.portal"][0]["enrolment"]["since"] == "2026-02-03"
    assert found["in.portal"][0]["account"] is None
    assert found["in.nta"][0]["municipality"] == ""


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"nta,,42990000011", "columns"),
        (b"nta,,42990000011,2026-02-01,", "columns"),
        (b"portal,,\xff,2026-02-01", "encoding"),
    ],
)
def test_a_faulty_row_that_names_its_domain_is_carried_raw(tmp_path: Path, line: bytes, fault: str) -> None:
    """It is for intake to refuse, with file and line."""
    [[row]] = polled(tmp_path, line).values()
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
def test_a_row_that_nobody_may_hand_over_refuses_the_file(tmp_path: Path, line: bytes) -> None:
    """There is no topic for it: the file is refused whole, the line named, its content not."""
    with pytest.raises(UnroutableError, match="in line 3") as caught:
        polled(tmp_path, b"nta,,42990000011,2026-02-01", line)
    assert "4299" not in str(caught.value)
