"""Submissions from files of the samples' format, in the order of the file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from infra.verification.reference import field_formats
from infra.verification.reference.entity_parsing import is_entity_file, read_entity_events
from infra.verification.reference.notice import (
    ENROLLED,
    ENTERING,
    MUNICIPAL,
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
#: Fields that must be equal in all rows of a notice.
_SHARED_FIELDS = (
    "municipality",
    "reason",
    "effective_on",
    "recorded_on",
    "moved_from",
    "moved_to",
    "cancels",
)

Lines = Iterator[tuple[int, bytes]]


def read_submissions(path: Path) -> Iterator[Submission]:
    """Return all submissions of the file `path`. Raise ValueError where its name or first line has another format."""
    if is_entity_file(path.name):
        return read_entity_events(path)
    match = _FILE.fullmatch(path.name)
    if not match:
        raise ValueError(
            f"{path.name}: the name is not juki_<code>.csv, notices_<code>.jsonl, enrolments.csv, events_portal.jsonl "
            "or events_<system>.jsonl"
        )
    notices, municipality, _, enrolments, _ = match.groups()
    if municipality:
        read_notices = _csv_notices if notices == "juki" else _json_notices
        return read_notices(path, municipality)
    return _enrolments(path) if enrolments else _portal_events(path)


def _lines(path: Path) -> Lines:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            yield line, (raw.removeprefix(_BOM) if line == 1 else raw).rstrip(b"\r\n")


def _open_csv(path: Path, header: list[str]) -> tuple[str, Lines]:
    """Return a CSV file's encoding, recognized by its first line, and the other lines that are not empty.

    Raise ValueError if the first line isn't `header`.
    """
    lines = _lines(path)
    first = next(lines, (1, b""))[1]
    for encoding in ("utf-8", "cp932"):
        if _cells(first, encoding) == header:
            return encoding, ((line, raw) for line, raw in lines if raw)
    raise ValueError(f"{path.name}: the first line is not the header of this kind of file")


def _cells(raw: bytes, encoding: str) -> list[str] | None:
    """Return the cells of a CSV line, or None if it can't be decoded."""
    try:
        return next(csv.reader([raw.decode(encoding)], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return None


# -- CSV: a submission is one or several consecutive rows


class _Row:
    """A CSV row. `fields` has those of its cells that can be read."""

    def __init__(self, line: int, raw: bytes, encoding: str) -> None:
        cells = _cells(raw, encoding)
        self.line = line
        self.fields = dict(zip(field_formats.COLUMNS, cells or [], strict=False))
        self.identity = tuple(cells[1:]) if cells else raw.partition(b",")[2]
        self.fault = "encoding" if cells is None else None
        if cells is not None:
            self.fault = "columns" if len(cells) != len(_HEADER) else field_formats.first_fault(self.fields)

    @property
    def number(self) -> str | None:
        """Notice number, None if it has another format."""
        number = self.fields.get("notice", "")
        return number if field_formats.NUMBER.fullmatch(number) else None


def _csv_notices(path: Path, submitter: str) -> Iterator[Submission]:
    encoding, lines = _open_csv(path, _HEADER)
    group: list[_Row] = []
    for line, raw in lines:
        row = _Row(line, raw, encoding)
        if group and not _same_notice(row, group):
            yield _csv_submission(path.name, submitter, group)
            group = []
        group.append(row)
    if group:
        yield _csv_submission(path.name, submitter, group)


def _same_notice(row: _Row, group: list[_Row]) -> bool:
    """Return whether `row` continues the notice of `group`: same readable number, and a person not in it yet."""
    code = row.fields.get("code")
    repeated = bool(code) and any(code == other.fields.get("code") for other in group)
    return row.number is not None and row.number == group[0].number and not repeated


def _csv_submission(source: str, submitter: str, rows: list[_Row]) -> Submission:
    fault = next((row.fault for row in rows if row.fault), None)
    if not fault and any(
        one.fields[name] != next_one.fields[name]
        for one, next_one in pairwise(rows)
        for name in _SHARED_FIELDS
    ):
        fault = "rows-disagree"
    return Submission(
        source, rows[0].line, submitter, ("rows", *(row.identity for row in rows)), rows[0].number,
        rows[0].fields.get("reason"), None if fault else _csv_notice(rows), fault,
    )  # fmt: skip


def _csv_notice(rows: list[_Row]) -> Notice:
    head = rows[0].fields
    persons: dict[str, Facts] = {
        row.fields["code"]: {
            **{name: row.fields[name] for name in _PERSON_FIELDS},
            "protected": row.fields["protected"] == "1",
        }
        for row in rows
    }
    shared: dict[str, Any] = {name: head[name] for name in _SHARED_FIELDS}
    return Notice(number=head["notice"], persons=persons, **shared)


# -- JSON Lines: a submission is a line


def _json_notices(path: Path, submitter: str) -> Iterator[Submission]:
    for line, raw in _lines(path):
        if raw.strip():
            yield _json_submission(path.name, line, submitter, raw)


def _json_submission(source: str, line: int, submitter: str, raw: bytes) -> Submission:
    try:
        value = _without_nulls(json.loads(raw.decode("utf-8")))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return Submission(source, line, submitter, raw, fault="json")
    identity = ("line", json.dumps(value, sort_keys=True, ensure_ascii=False))
    if not isinstance(value, dict):
        return Submission(source, line, submitter, identity, fault="json")
    number, reason = (value.get(name) for name in ("notice", "reason"))
    readable = isinstance(number, str) and field_formats.NUMBER.fullmatch(number)
    fault = _json_fault(value)
    return Submission(
        source, line, submitter, identity, number if readable else None,
        reason if isinstance(reason, str) else None, None if fault else _json_notice(value), fault,
    )  # fmt: skip


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _json_fault(value: Mapping[str, Any]) -> str | None:
    """Return the first fault of a notice in JSON, or None."""
    known = {*_HEAD_FIELDS, "persons", "household", "to", "moved_from", "moved_to", "cancels"}
    if value.keys() - known or any(name not in value for name in _HEAD_FIELDS):
        return "fields"
    head = {name: value[name] for name in value if name not in ("persons", "to")}
    if not all(isinstance(text, str) for text in head.values()):
        return "types"
    if ("persons" in value) == ("household" in value) or ("to" in value and "household" not in value):
        return "persons-or-household"
    return field_formats.first_fault(head) or _persons_fault(value)


def _persons_fault(value: Mapping[str, Any]) -> str | None:
    if "household" in value:
        fault = _object_fault(value.get("to", {}), _TO_FIELDS)
        return "new-by-household" if value["reason"] in ENTERING else fault
    persons = value["persons"]
    if not isinstance(persons, list) or not persons:
        return "persons"
    required = {"code", *(_PERSON_FIELDS if value["reason"] in ENTERING else ())}
    for person in persons:
        fault = _object_fault(person, ("code", *_PERSON_FIELDS))
        if fault or required - person.keys():
            return fault or "fields"
    return "person-twice" if len({person["code"] for person in persons}) < len(persons) else None


def _object_fault(item: Any, known: tuple[str, ...]) -> str | None:
    if not isinstance(item, dict) or item.keys() - set(known):
        return "fields"
    if not all(isinstance(value, bool if name == "protected" else str) for name, value in item.items()):
        return "types"
    return field_formats.first_fault({name: value for name, value in item.items() if name != "protected"})


def _json_notice(value: Mapping[str, Any]) -> Notice:
    persons = {
        person["code"]: {name: person[name] for name in _PERSON_FIELDS if name in person}
        for person in value.get("persons", ())
    }
    relocation = {name: value.get(name, "") for name in ("moved_from", "moved_to", "cancels")}
    return Notice(
        number=value["notice"], persons=persons, household=value.get("household"), to=value.get("to", {}),
        **{name: value[name] for name in _HEAD_FIELDS if name != "notice"}, **relocation,
    )  # fmt: skip


# -- enrolments


def _enrolments(path: Path) -> Iterator[Submission]:
    encoding, lines = _open_csv(path, _ENROLMENT_HEADER)
    for line, raw in lines:
        cells = _cells(raw, encoding)
        fault = "encoding" if cells is None else _enrolment_fault(cells)
        identity = ("enrolment", tuple(cells) if cells else raw)
        content = None
        if cells and not fault:
            content = Enrolment(cells[0], cells[1] or None, cells[2], cells[3])
        yield Submission(path.name, line, "", identity, content=content, fault=fault)


def _enrolment_fault(cells: list[str]) -> str | None:
    if len(cells) != len(_ENROLMENT_HEADER):
        return "columns"
    domain, municipality, code, since = cells
    check_municipality: Callable[[str], bool] = (
        field_formats.is_municipality_code if domain in MUNICIPAL else "".__eq__
    )
    checks = {
        "domain": domain in ENROLLED,
        "municipality": check_municipality(municipality),
        "code": field_formats.FORMATS["code"](code),
        "since": field_formats.is_day(since),
    }
    return next((f"format:{name}" for name, valid in checks.items() if not valid), None)


# -- events of the portal


def _portal_events(path: Path) -> Iterator[Submission]:
    for line, raw in _lines(path):
        if raw:
            yield _portal_submission(path.name, line, raw)


def _portal_submission(source: str, line: int, raw: bytes) -> Submission:
    try:
        value = _without_nulls(json.loads(raw.decode("utf-8")))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return Submission(source, line, "", raw, fault="json")
    identity = ("event", json.dumps(value, sort_keys=True, ensure_ascii=False))
    content, fault = _portal_event(value)
    return Submission(source, line, "", identity, content=content, fault=fault)


def _portal_event(value: Any) -> tuple[Enrolment | AccountEvent | None, str | None]:
    """Return an event's content, or its fault."""
    if not isinstance(value, dict) or value.keys() not in ({"enrolment"}, {"account"}):
        return None, "fields"
    ((kind, fields),) = value.items()
    known = _ENROLMENT_FIELDS if kind == "enrolment" else tuple(field_formats.ACCOUNT_FORMATS)
    if not isinstance(fields, dict) or fields.keys() - set(known):
        return None, "fields"
    if not all(isinstance(text, str) for text in fields.values()):
        return None, "types"
    if kind == "account":
        fault = field_formats.first_account_fault(fields)
        return (None, fault) if fault else (AccountEvent(**fields), None)
    cells = [fields.get(name, "") for name in _ENROLMENT_FIELDS]
    fault = _enrolment_fault(cells) or (None if cells[0] == "portal" else "other-domain")
    return (None, fault) if fault else (Enrolment("portal", None, cells[2], cells[3]), None)
