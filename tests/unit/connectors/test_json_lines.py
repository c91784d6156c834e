"""Sources of JSON Lines: a conforming line is carried in fields, any other raw with a fault."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import FileFormatError, FileNameError
from connectors.events import EventsSource, NoticesSource
from connectors.source import Route

GOOD = {"notice": "13104-900001", "persons": [{"code": "42990000011", "protected": False}], "to": None}


def poll_all(source: EventsSource) -> list[dict[str, Any]]:
    """Return all submissions of a source."""
    source.open()
    submissions: list[dict[str, Any]] = []
    while batches := source.poll():
        submissions += [row for batch in batches for row in batch.table.to_pylist()]
    return submissions


def notices(folder: Path, *lines: str) -> list[dict[str, Any]]:
    """Return the submissions of a file of notices with these lines."""
    path = folder / "notices_131041.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return poll_all(NoticesSource(path))


def test_fields_are_not_changed(tmp_path: Path) -> None:
    """A field that the notice omits is null, so it differs from one that the notice empties."""
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
def test_a_line_that_does_not_conform_is_carried_raw(
    tmp_path: Path, line: str, fault: str, number: str | None
) -> None:
    """Whatever the line has, it is submitted, and so are the lines around it."""
    good = json.dumps(GOOD)
    submissions = notices(tmp_path, good, line, good)
    assert [submission["fault"] for submission in submissions] == [None, fault, None]
    raw = submissions[1]
    assert base64.b64decode(raw["raw"]).decode() == line
    assert (raw["notice"], raw["line"], raw["persons"]) == (number, 2, None)


def test_too_many_persons_are_a_fault(tmp_path: Path) -> None:
    """A short line of JSON can be a large record, so the number of persons is limited."""
    line = json.dumps({"persons": [{}] * 5_001})
    assert [submission["fault"] for submission in notices(tmp_path, line)] == ["form"]


def test_events_of_a_municipal_system_need_a_municipality(tmp_path: Path) -> None:
    """It is in the file's name or passed; a national system has none."""
    path = tmp_path / "child_131041.jsonl"
    path.write_text('{"domain": "child"}\n')
    assert EventsSource("child", path).open() == [Route("child", "131041")]
    assert EventsSource("care", path, "141097").open() == [Route("care", "141097")]
    named_as_synthetic = path.rename(tmp_path / "events_child_131041_2.jsonl")
    assert EventsSource("child", named_as_synthetic).open() == [Route("child", "131041")]
    path = named_as_synthetic
    with pytest.raises(FileNameError):
        EventsSource("nta", path, "131041").open()
    with pytest.raises(FileNameError):
        EventsSource("care", path).open()
    with pytest.raises(KeyError):
        EventsSource("intermediate-server", path)


def test_events_of_a_generated_schema(tmp_path: Path) -> None:
    """The fields are those of the declaration; a line that doesn't conform is carried raw with its number."""
    path = tmp_path / "cards.jsonl"
    event = {"event": "CardIssued", "number": "c-1", "serial": "S-1", "kind": "standard"}
    unknown, not_text = event | {"colour": "red"}, event | {"serial": 1}
    broken = '{"number": "c-2", "event"'
    path.write_text("\n".join([json.dumps(event), json.dumps(unknown), json.dumps(not_text), broken]))
    source = EventsSource("card", path)
    assert source.open() == [Route("card")]
    first, *others = poll_all(source)
    assert first == dict.fromkeys(first) | event | {"file": "cards.jsonl", "line": 1}
    assert [(row["fault"], row["number"], row["event"]) for row in others] == [
        ("form", "c-1", None),
        ("form", "c-1", None),
        ("json", "c-2", None),
    ]


def test_a_malformed_operator_command_rejects_the_whole_file(tmp_path: Path) -> None:
    """The schema of operator commands has no field for a raw line, so nothing of the file is published."""
    path = tmp_path / "commands.jsonl"
    origin = {"topic": "in.juki.131041", "partition": 0, "offset": 5}
    command = json.dumps({"command": "RESUBMIT", "origin": origin, "juki": {"notice": "13104-900001"}})
    path.write_text(f"{command}\n")
    [submission] = poll_all(EventsSource("operator", path))
    assert (submission["command"], submission["origin"]["offset"], submission["juki"]["notice"]) == (
        "RESUBMIT",
        5,
        "13104-900001",
    )
    path.write_text(f'{command}\n{{"command": "OTHER"}}\n')
    with pytest.raises(FileFormatError, match="line 2"):
        EventsSource("operator", path).open()
