"""Sample files as intake would hand them on, for tests of the steps behind it: in clear, with nothing refused."""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from schemas.reasons import BY_JAPANESE

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
    """A register's file, CSV or JSON Lines, as records of `notice`."""
    return list(_csv_notices(path) if path.suffix == ".csv" else _json_notices(path))


def enrolments_of(path: Path) -> list[Row]:
    """A file of enrolments as records of `person.change`."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [
            enrolment(row["業務"], row["市区町村コード"] or None, row["住民票コード"], row["開始日"])
            for row in csv.DictReader(file)
        ]


def enrolment(domain: str, municipality: str | None, person: str, since: str) -> Row:
    """An enrolment as a record of `person.change`."""
    topic = f"in.{domain}.{municipality}" if municipality else f"in.{domain}"
    change = {"person": person, "kind": "ENROLMENT", "domain": domain, "municipality": municipality}
    return change | {"effective_on": date.fromisoformat(since), "seq": 0, **_received(topic, 0)}


def accounts_of(path: Path) -> list[Row]:
    """A file of the portal's account events as records of `person.change`."""
    filed = [json.loads(line)["account"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [_account_event(each) for each in filed]


def _account_event(filed: Mapping[str, str]) -> Row:
    details = {name: text for name, text in filed.items() if name not in ("code", "effective_on")}
    left_away = dict.fromkeys(("holder_kana", "bank", "branch", "type", "number"), "")
    change = {"person": filed["code"], "kind": "ACCOUNT", "account": left_away | details, "seq": 0}
    return change | {"effective_on": date.fromisoformat(filed["effective_on"]), **_received("in.portal", 0)}


def account(person: str, since: str, event: str, name: str, holder: str) -> Row:
    """What happened to an account as a record of `person.change`."""
    filed = {"event": event, "account": name, "holder_kana": holder, "number": "1234567", "code": person}
    return _account_event(filed | {"bank": "0001", "branch": "001", "type": "普通", "effective_on": since})


def notice(
    municipality: str,
    number: str,
    reason: str,
    effective_on: str,
    persons: Mapping[str, Mapping[str, Any]] | None = None,
    **others: Any,
) -> Row:
    """A record of `notice`; `reason` as the registers write it, `persons` by code with the facts given."""
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
        row["persons"] = [{"person": p, "facts": facts(municipality, given)} for p, given in persons.items()]
    line = others.pop("line", 1)
    row |= others
    if row.get("to") is not None:
        row["to"] = facts(municipality, row["to"])
    if row.get("household") is not None:
        row["household"] = f"{municipality}/{row['household']}"
    row.setdefault("digest", repr(sorted(row.items(), key=str)))
    return row | _received(f"in.juki.{municipality}", line)


def facts(municipality: str, given: Mapping[str, Any]) -> Row:
    """A record `Facts` of what is given; the household's code is made of the municipality and its number."""
    row: Row = dict.fromkeys(FACT_COLUMNS) | {name: given[name] for name in FACT_COLUMNS if name in given}
    if row["household"] is not None:
        row["household"] = f"{municipality}/{row['household']}"
    if isinstance(row["birth_date"], str):
        row["birth_date"] = date.fromisoformat(row["birth_date"])
    return row


def _received(topic: str, line: int) -> Row:
    origin = {"topic": topic, "partition": 0, "offset": line, "file": None, "line": line}
    return {"received_at": RECEIVED, "origin": origin}


def _encoding(path: Path) -> str:
    """As it begins: old systems write CP932 without a mark."""
    return "utf-8-sig" if path.read_bytes().startswith(BOM_UTF8) else "cp932"


def _csv_notices(path: Path) -> Iterator[Row]:
    with path.open(encoding=_encoding(path), newline="") as file:
        for line, group in _hand_overs(csv.DictReader(file)):
            first = group[0]
            persons = {row["住民票コード"]: _csv_facts(row) for row in group}
            yield notice(
                first["市区町村コード"],
                first["届出番号"],
                first["異動事由"],
                first["異動日"],
                persons,
                moved_from=first["前住所地コード"] or None,
                moved_to=first["転出先コード"] or None,
                cancels=first["取消対象届出番号"] or None,
                digest=repr([[*row.values()][1:] for row in group]),
                line=line,
            )


def _hand_overs(rows: Iterable[dict[str, str]]) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Rows of one number follow each other; a person repeated begins another hand-over."""
    group: list[dict[str, str]] = []
    start = 2
    for line, row in enumerate(rows, start=2):
        codes = {each["住民票コード"] for each in group}
        if group and (row["届出番号"] != group[0]["届出番号"] or row["住民票コード"] in codes):
            yield start, group
            group, start = [], line
        group.append(row)
    if group:
        yield start, group


def _csv_facts(row: Mapping[str, str]) -> Row:
    given: Row = {name: row[column] for name, column in FACT_COLUMNS.items()}
    return given | {"protected": row["支援措置"] == "1"}


def _json_notices(path: Path) -> Iterator[Row]:
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        told = json.loads(text)
        persons = {p["code"]: p for p in told["persons"]} if "persons" in told else None
        others = {name: told.get(name) for name in ("household", "to", "moved_from", "moved_to", "cancels")}
        yield notice(
            told["municipality"],
            told["notice"],
            told["reason"],
            told["effective_on"],
            persons,
            digest=text,
            line=line,
            **others,
        )
