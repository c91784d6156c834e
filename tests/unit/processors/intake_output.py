"""Sample files as the records that intake would publish, for tests of later steps: plain codes, nothing rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from schemas.reasons import BY_JAPANESE
from schemas.systems import SYSTEMS
from tests.register_files import csv_rows, group_notices, json_lines

Row = dict[str, Any]

FACT_COLUMNS = {
    "name": "氏名",
    "kana": "氏名カナ",
    "birth_date": "生年月日",
    "sex": "性別",
    "relationship": "続柄",
    "household": "世帯番号",
    "address": "住所",
    "protected": "支援措置",
}
RECEIVED = datetime(2026, 9, 1, tzinfo=UTC)


def notices_of(path: Path) -> list[Row]:
    """Return a register's file, CSV or JSON Lines, as records of `notice`."""
    return list(_csv_notices(path) if path.suffix == ".csv" else _json_notices(path))


def enrolments_of(path: Path) -> list[Row]:
    """Return a file of enrolments as records of `person.change`."""
    return [
        enrolment(row["業務"], row["市区町村コード"] or None, row["住民票コード"], row["開始日"])
        for _, row in csv_rows(path)
    ]


def enrolment(domain: str, municipality: str | None, person: str, since: str) -> Row:
    """Return an enrolment as a record of `person.change`."""
    topic = f"in.{domain}.{municipality}" if municipality else f"in.{domain}"
    change = {"person": person, "kind": "ENROLMENT", "domain": domain, "municipality": municipality}
    return change | {"effective_on": date.fromisoformat(since), "seq": 0, **received(topic, 0)}


def accounts_of(path: Path) -> list[Row]:
    """Return a file of the portal's account events as records of `person.change`."""
    return [_account_change(json.loads(text)["account"]) for _, text in json_lines(path)]


def _account_change(event: Mapping[str, str]) -> Row:
    details = {name: text for name, text in event.items() if name not in ("code", "effective_on")}
    empty = dict.fromkeys(("holder_kana", "bank", "branch", "type", "number"), "")
    change = {"person": event["code"], "kind": "ACCOUNT", "account": empty | details, "seq": 0}
    return change | {"effective_on": date.fromisoformat(event["effective_on"]), **received("in.portal", 0)}


def account(person: str, since: str, event: str, name: str, holder: str) -> Row:
    """Return an account event as a record of `person.change`; `name` is the account's ID."""
    fields = {"event": event, "account": name, "holder_kana": holder, "number": "1234567", "code": person}
    return _account_change(fields | {"bank": "0001", "branch": "001", "type": "普通", "effective_on": since})


def settlement(
    person: str, municipality: str, notice: str, registered_in: str, *, line: int, taken_back: bool = False
) -> Row:
    """Return an operator's settlement of a registration in conflict as a record of `person.change`."""
    decision = {"municipality": municipality, "notice": notice, "registered_in": registered_in}
    change = {"person": person, "kind": "SETTLEMENT", "settlement": decision | {"taken_back": taken_back}}
    return change | {"effective_on": RECEIVED.date(), "seq": 0, **received("in.operator", line)}


def event(
    system: str,
    name: str,
    person: str,
    effective_on: str,
    number: str,
    *,
    municipality: str | None = None,
    received_on: str = "2026-09-01",
    cancels: str | None = None,
    **fields: str,
) -> Row:
    """Return an event of a declared entity as a record of `person.change`; `fields` are those that it brings."""
    declared = SYSTEMS[system].entity_of(name)[0] if cancels is None else None
    values = [fields.get(name) for name in declared.field_names] if declared is not None else []
    content: Row = {"system": system, "entity": declared.id if declared is not None else "", "event": name}
    content |= {"number": number, "recorded_on": date.fromisoformat(effective_on), "cancels": cancels}
    change: Row = {"person": person, "kind": "EVENT", "municipality": municipality, "seq": 0}
    topic = f"in.{system}.{municipality}" if municipality else f"in.{system}"
    change |= {"event": content | {"fields": values}, "effective_on": date.fromisoformat(effective_on)}
    at = datetime.fromisoformat(f"{received_on}T03:00:00+00:00")
    return change | received(topic, 0) | {"received_at": at}


def day_begun(day: str) -> Row:
    """Return the beginning of a day as a record of `person.change`."""
    change: Row = {"person": "", "kind": "DAY_BEGUN", "effective_on": date.fromisoformat(day), "seq": 0}
    return change | received("in.clock", 0)


def notice(
    municipality: str,
    number: str,
    reason: str,
    effective_on: str,
    persons: Mapping[str, Mapping[str, Any]] | None = None,
    **others: Any,
) -> Row:
    """Return a record of `notice`; `reason` as the registers write it, `persons` by code with their facts."""
    row: Row = {
        "municipality": municipality,
        "notice": number,
        "reason": BY_JAPANESE[reason].value,
        "effective_on": date.fromisoformat(effective_on),
        "recorded_on": date.fromisoformat(effective_on),
        "persons": None,
        "resubmitted": False,
    }
    if persons is not None:
        row["persons"] = [
            {"person": code, "facts": facts(municipality, fields)} for code, fields in persons.items()
        ]
    line = others.pop("line", 1)
    row |= others
    if row.get("to") is not None:
        row["to"] = facts(municipality, row["to"])
    if row.get("household") is not None:
        row["household"] = f"{municipality}/{row['household']}"
    row.setdefault("digest", repr(sorted(row.items(), key=str)))
    return row | received(f"in.juki.{municipality}", line)


def facts(municipality: str, fields: Mapping[str, Any]) -> Row:
    """Return a record `Facts`, null where a field is missing; a household's code is its municipality and number."""
    row: Row = dict.fromkeys(FACT_COLUMNS) | {name: fields[name] for name in FACT_COLUMNS if name in fields}
    if row["household"] is not None:
        row["household"] = f"{municipality}/{row['household']}"
    if isinstance(row["birth_date"], str):
        row["birth_date"] = date.fromisoformat(row["birth_date"])
    return row


def received(topic: str, line: int) -> Row:
    """Return the fields of a record that say where and when its submission was received."""
    origin = {"topic": topic, "partition": 0, "offset": line, "file": None, "line": line}
    return {"received_at": RECEIVED + timedelta(milliseconds=line), "origin": origin}


def _csv_notices(path: Path) -> Iterator[Row]:
    groups = group_notices(
        csv_rows(path), lambda line: line[1]["届出番号"], lambda line: line[1]["住民票コード"]
    )
    for group in groups:
        (line, first), rows = group[0], [row for _, row in group]
        yield notice(
            first["市区町村コード"],
            first["届出番号"],
            first["異動事由"],
            first["異動日"],
            {row["住民票コード"]: _csv_facts(row) for row in rows},
            moved_from=first["前住所地コード"] or None,
            moved_to=first["転出先コード"] or None,
            cancels=first["取消対象届出番号"] or None,
            digest=repr([[*row.values()][1:] for row in rows]),
            line=line,
        )


def _csv_facts(row: Mapping[str, str]) -> Row:
    fields: Row = {name: row[column] for name, column in FACT_COLUMNS.items()}
    return fields | {"protected": row["支援措置"] == "1"}


def _json_notices(path: Path) -> Iterator[Row]:
    for line, text in json_lines(path):
        fields = json.loads(text)
        persons = {p["code"]: p for p in fields["persons"]} if "persons" in fields else None
        others = {name: fields.get(name) for name in ("household", "to", "moved_from", "moved_to", "cancels")}
        yield notice(
            fields["municipality"],
            fields["notice"],
            fields["reason"],
            fields["effective_on"],
            persons,
            digest=text,
            line=line,
            **others,
        )
