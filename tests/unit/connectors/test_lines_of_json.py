"""JSON Lines: what is of the form is carried in fields, all else raw with a fault."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import FileFormatError, FileNameError
from connectors.events import EventsSource
from connectors.notices import NoticesSource
from connectors.source import Route

GOOD = {"notice": "13104-900001", "persons": [{"code": "42990000011", "protected": False}], "to": None}


def polled(source: EventsSource) -> list[dict[str, Any]]:
    source.open()
    found: list[dict[str, Any]] = []
    while batch := source.poll():
        found += [one for hand_overs in batch for one in hand_overs.table.to_pylist()]
    return found


def notices(folder: Path, *lines: str) -> list[dict[str, Any]]:
    path = folder / "notices_131041.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return polled(NoticesSource(path))


def test_fields_are_carried_as_they_came(tmp_path: Path) -> None:
    """What the notice does not give stays null, so that it can be told from what it empties."""
    [notice] = notices(tmp_path, json.dumps(GOOD))
    [person] = notice["persons"]
    assert (notice["notice"], notice["line"], notice["file"]) == ("13104-900001", 1, "notices_131041.jsonl")
    assert (person["code"], person["protected"], person["name"]) == ("42990000011", False, None)
    assert (notice["to"], notice["fault"]) == (None, None)


@pytest.mark.parametrize(
    ("line", "fault", "number"),
    [
        ("{not json", "json", None),
        ('{"notice": "13104-900001", "persons": [', "json", "13104-900001"),
        ("[]", "form", None),
        ('"text"', "form", None),
        ('{"notice": "13104-900001", "unknown": 1}', "form", "13104-900001"),
        ('{"notice": 5}', "form", None),
        ('{"notice": "13104-900001", "persons": [{"protected": 1}]}', "form", "13104-900001"),
        ('{"notice": "13104-900001", "raw": "x"}', "form", "13104-900001"),
        ('{"notice": "13104-900001", "persons": {"code": "1"}}', "form", "13104-900001"),
        ('{"notice": "\\ud800"}', "json", None),
    ],
)
def test_a_bad_line_is_carried_raw(tmp_path: Path, line: str, fault: str, number: str | None) -> None:
    """Whatever stands in a line, it arrives; the lines around it too."""
    good = json.dumps(GOOD)
    found = notices(tmp_path, good, line, good)
    assert [one["fault"] for one in found] == [None, fault, None]
    assert base64.b64decode(found[1]["raw"]).decode() == line
    assert (found[1]["notice"], found[1]["line"], found[1]["persons"]) == (number, 2, None)


def test_more_persons_than_a_record_holds_is_a_fault(tmp_path: Path) -> None:
    """Short lines of JSON can be long records: the number of persons is limited."""
    line = json.dumps({"persons": [{}] * 5_001})
    assert [one["fault"] for one in notices(tmp_path, line)] == ["form"]


def test_events_of_a_municipal_system_name_their_municipality(tmp_path: Path) -> None:
    """In the file's name or by the submitter; a national system has none."""
    path = tmp_path / "child_131041.jsonl"
    path.write_text('{"domain": "child"}\n')
    assert EventsSource("child", path).open() == [Route("child", "131041")]
    assert EventsSource("care", path, "141097").open() == [Route("care", "141097")]
    with pytest.raises(FileNameError):
        EventsSource("nta", path, "131041").open()
    with pytest.raises(FileNameError):
        EventsSource("care", path).open()
    with pytest.raises(KeyError):
        EventsSource("local-tax", path)


def test_an_officers_act_with_a_bad_line_is_refused_whole(tmp_path: Path) -> None:
    """The desk's schema has no place for a line that can't be read, so nothing of the file is published."""
    path = tmp_path / "acts.jsonl"
    origin = {"topic": "in.juki.131041", "partition": 0, "offset": 5}
    act = json.dumps({"command": "RESUBMIT", "origin": origin, "juki": {"notice": "13104-900001"}})
    path.write_text(f"{act}\n")
    [found] = polled(EventsSource("operator", path))
    assert (found["command"], found["origin"]["offset"], found["juki"]["notice"]) == (
        "RESUBMIT",
        5,
        "13104-900001",
    )
    path.write_text(f'{act}\n{{"command": "OTHER"}}\n')
    with pytest.raises(FileFormatError, match="line 2"):
        EventsSource("operator", path).open()
