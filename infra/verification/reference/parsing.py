"""Files of the samples' format into hand-overs, in the order in which they stand."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from infra.verification.reference import field_formats
from infra.verification.reference.notice import (
    ENROLLED,
    MUNICIPAL,
    NEW,
    AccountEvent,
    Enrolment,
    Facts,
    Notice,
    Submission,
)

_HEADER = [
    "通番", "届出番号", "市区町村コード", "異動事由", "異動日", "届出日", "世帯番号", "宛名番号",
    "住民票コード", "氏名", "氏名カナ", "生年月日", "性別", "続柄", "住所",
    "前住所地コード", "転出先コード", "支援措置",
    "取消対象届出番号",
]  # fmt: skip
_ENROLMENT_HEADER = ["業務", "市区町村コード", "住民票コード", "開始日"]
_FILE = re.compile(
    r"(juki|notices)_([0-9]{6})(?:_.*)?\.(csv|jsonl)|(enrolments).*\.csv|(events_portal).*\.jsonl"
)
_BOM = b"\xef\xbb\xbf"
_PERSON_FIELDS = (
    "local_number", "name", "kana", "birth_date", "sex", "relationship", "household", "address", "protected",
)  # fmt: skip
_TO_FIELDS = ("address", "household", "relationship")
_HEAD_FIELDS = ("notice", "municipality", "reason", "effective_on", "recorded_on")
_ENROLMENT_FIELDS = ("domain", "municipality", "code", "since")
_SHARED = ("municipality", "reason", "effective_on", "recorded_on", "moved_from", "moved_to", "cancels")

Lines = Iterator[tuple[int, bytes]]


def hand_overs(path: Path) -> Iterator[Submission]:
    """All hand-overs of the file `path`; ValueError where its name or first line is of another format."""
    found = _FILE.fullmatch(path.name)
    if not found:
        raise ValueError(
            f"{path.name}: not juki_<code>.csv, notices_<code>.jsonl, enrolments.csv or events_portal.jsonl"
        )
    if found[4] or found[5]:
        return _enrolments(path) if found[4] else _events(path)
    return _of_rows(path, found[2]) if found[1] == "juki" else _of_lines(path, found[2])


def _lines(path: Path) -> Lines:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            yield line, (raw.removeprefix(_BOM) if line == 1 else raw).rstrip(b"\r\n")


def _table(path: Path, header: list[str]) -> tuple[str, Lines]:
    """The encoding, told by the first line, and the lines below it that hold anything."""
    lines = _lines(path)
    first = next(lines, (1, b""))[1]
    for encoding in ("utf-8", "cp932"):
        if _cells(first, encoding) == header:
            return encoding, ((line, raw) for line, raw in lines if raw)
    raise ValueError(f"{path.name}: its first line is not the header expected")


def _cells(raw: bytes, encoding: str) -> list[str] | None:
    """The cells of a line of CSV; None where it can't be decoded."""
    try:
        return next(csv.reader([raw.decode(encoding)], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return None


# -- CSV: a hand-over is a run of rows


class _Row:
    """A row as it came; `fields` holds what can be read of it."""

    def __init__(self, line: int, raw: bytes, encoding: str) -> None:
        cells = _cells(raw, encoding)
        self.line = line
        self.fields = dict(zip(field_formats.COLUMNS, cells or [], strict=False))
        self.identity = tuple(cells[1:]) if cells else raw.partition(b",")[2]
        self.fault = "encoding" if cells is None else None
        if cells is not None:
            self.fault = "columns" if len(cells) != len(_HEADER) else field_formats.fault(self.fields)

    @property
    def number(self) -> str | None:
        number = self.fields.get("notice", "")
        return number if field_formats.NUMBER.fullmatch(number) else None


def _of_rows(path: Path, submitter: str) -> Iterator[Submission]:
    encoding, lines = _table(path, _HEADER)
    group: list[_Row] = []
    for line, raw in lines:
        row = _Row(line, raw, encoding)
        if group and not _belongs(row, group):
            yield _notice_of_rows(path.name, submitter, group)
            group = []
        group.append(row)
    if group:
        yield _notice_of_rows(path.name, submitter, group)


def _belongs(row: _Row, group: list[_Row]) -> bool:
    """Same readable number, and a person who isn't in the group yet."""
    code = row.fields.get("code")
    repeated = bool(code) and any(code == other.fields.get("code") for other in group)
    return row.number is not None and row.number == group[0].number and not repeated


def _notice_of_rows(source: str, submitter: str, rows: list[_Row]) -> Submission:
    fault = next((row.fault for row in rows if row.fault), None)
    if not fault and any(a.fields[name] != b.fields[name] for a, b in pairwise(rows) for name in _SHARED):
        fault = "rows-disagree"
    return Submission(
        source, rows[0].line, submitter, ("rows", *(row.identity for row in rows)), rows[0].number,
        rows[0].fields.get("reason"), None if fault else _content_of_rows(rows), fault,
    )  # fmt: skip


def _content_of_rows(rows: list[_Row]) -> Notice:
    head = rows[0].fields
    persons: dict[str, Facts] = {
        row.fields["code"]: {
            **{name: row.fields[name] for name in _PERSON_FIELDS},
            "protected": row.fields["protected"] == "1",
        }
        for row in rows
    }
    shared: dict[str, Any] = {name: head[name] for name in _SHARED}
    return Notice(number=head["notice"], persons=persons, **shared)


# -- JSON Lines: a hand-over is a line


def _of_lines(path: Path, submitter: str) -> Iterator[Submission]:
    for line, raw in _lines(path):
        if raw.strip():
            yield _notice_of_line(path.name, line, submitter, raw)


def _notice_of_line(source: str, line: int, submitter: str, raw: bytes) -> Submission:
    try:
        value = _without_nulls(json.loads(raw.decode("utf-8")))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return Submission(source, line, submitter, raw, fault="json")
    identity = ("line", json.dumps(value, sort_keys=True, ensure_ascii=False))
    if not isinstance(value, dict):
        return Submission(source, line, submitter, identity, fault="json")
    number, reason = (value.get(name) for name in ("notice", "reason"))
    readable = isinstance(number, str) and field_formats.NUMBER.fullmatch(number)
    fault = _fault_of_line(value)
    return Submission(
        source, line, submitter, identity, number if readable else None,
        reason if isinstance(reason, str) else None, None if fault else _content_of_line(value), fault,
    )  # fmt: skip


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _fault_of_line(value: Mapping[str, Any]) -> str | None:
    """The first thing in a line of JSON that is not of the form."""
    known = {*_HEAD_FIELDS, "persons", "household", "to", "moved_from", "moved_to", "cancels"}
    if value.keys() - known or any(name not in value for name in _HEAD_FIELDS):
        return "fields"
    head = {name: value[name] for name in value if name not in ("persons", "to")}
    if not all(isinstance(text, str) for text in head.values()):
        return "types"
    if ("persons" in value) == ("household" in value) or ("to" in value and "household" not in value):
        return "persons-or-household"
    return field_formats.fault(head) or _fault_of_members(value)


def _fault_of_members(value: Mapping[str, Any]) -> str | None:
    if "household" in value:
        fault = _fault_of_object(value.get("to", {}), _TO_FIELDS)
        return "new-by-household" if value["reason"] in NEW else fault
    persons = value["persons"]
    if not isinstance(persons, list) or not persons:
        return "persons"
    needed = {"code", *(_PERSON_FIELDS if value["reason"] in NEW else ())}
    for person in persons:
        fault = _fault_of_object(person, ("code", *_PERSON_FIELDS))
        if fault or needed - person.keys():
            return fault or "fields"
    return "person-twice" if len({person["code"] for person in persons}) < len(persons) else None


def _fault_of_object(item: Any, known: tuple[str, ...]) -> str | None:
    if not isinstance(item, dict) or item.keys() - set(known):
        return "fields"
    if not all(isinstance(value, bool if name == "protected" else str) for name, value in item.items()):
        return "types"
    return field_formats.fault({name: value for name, value in item.items() if name != "protected"})


def _content_of_line(value: Mapping[str, Any]) -> Notice:
    persons = {
        person["code"]: {name: person[name] for name in _PERSON_FIELDS if name in person}
        for person in value.get("persons", ())
    }
    places = {name: value.get(name, "") for name in ("moved_from", "moved_to", "cancels")}
    return Notice(
        number=value["notice"], persons=persons, household=value.get("household"), to=value.get("to", {}),
        **{name: value[name] for name in _HEAD_FIELDS if name != "notice"}, **places,
    )  # fmt: skip


# -- enrolments


def _enrolments(path: Path) -> Iterator[Submission]:
    encoding, lines = _table(path, _ENROLMENT_HEADER)
    for line, raw in lines:
        cells = _cells(raw, encoding)
        fault = "encoding" if cells is None else _fault_of_enrolment(cells)
        identity = ("enrolment", tuple(cells) if cells else raw)
        content = None
        if cells and not fault:
            content = Enrolment(cells[0], cells[1] or None, cells[2], cells[3])
        yield Submission(path.name, line, "", identity, content=content, fault=fault)


def _fault_of_enrolment(cells: list[str]) -> str | None:
    if len(cells) != len(_ENROLMENT_HEADER):
        return "columns"
    domain, municipality, code, since = cells
    place_fits: Callable[[str], bool] = field_formats.municipality_code if domain in MUNICIPAL else "".__eq__
    checks = {
        "domain": domain in ENROLLED,
        "municipality": place_fits(municipality),
        "code": field_formats.FORMS["code"](code),
        "since": field_formats.day(since),
    }
    return next((f"form:{name}" for name, right in checks.items() if not right), None)


# -- the portal's events


def _events(path: Path) -> Iterator[Submission]:
    for line, raw in _lines(path):
        if raw:
            yield _event_of_line(path.name, line, raw)


def _event_of_line(source: str, line: int, raw: bytes) -> Submission:
    try:
        value = _without_nulls(json.loads(raw.decode("utf-8")))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return Submission(source, line, "", raw, fault="json")
    identity = ("event", json.dumps(value, sort_keys=True, ensure_ascii=False))
    content, fault = _event(value)
    return Submission(source, line, "", identity, content=content, fault=fault)


def _event(value: Any) -> tuple[Enrolment | AccountEvent | None, str | None]:
    """What a line says, or the fault of its form."""
    if not isinstance(value, dict) or value.keys() not in ({"enrolment"}, {"account"}):
        return None, "fields"
    ((kind, said),) = value.items()
    known = _ENROLMENT_FIELDS if kind == "enrolment" else tuple(field_formats.ACCOUNT_FORMS)
    if not isinstance(said, dict) or said.keys() - set(known):
        return None, "fields"
    if not all(isinstance(text, str) for text in said.values()):
        return None, "types"
    if kind == "account":
        fault = field_formats.fault_of_account(said)
        return (None, fault) if fault else (AccountEvent(**said), None)
    cells = [said.get(name, "") for name in _ENROLMENT_FIELDS]
    fault = _fault_of_enrolment(cells) or (None if cells[0] == "portal" else "other-domain")
    return (None, fault) if fault else (Enrolment("portal", None, cells[2], cells[3]), None)
