"""The cities that tests take in, and what the stores hold in the form of a city's expected.json."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infra.verification.reference import Actual

COLUMNS = ("name", "kana", "roman", "birth_date", "sex", "address", "relationship")
CANCELLATION_CODES = "CANCELS_"


def files_of(folder: Path) -> list[Path]:
    """A city's files: registers (CSV first), enrolments, the portal's events."""
    return [
        *sorted(folder.glob("juki_*.csv")),
        *sorted(folder.glob("notices_*.jsonl")),
        *sorted(folder.glob("enrolments*.csv")),
        *sorted(folder.glob("events_portal*.jsonl")),
    ]


def wanted(folder: Path) -> Mapping[str, Any]:
    """A city's expected.json, in a form that compares without regard to order."""
    found = json.loads((folder / "expected.json").read_text("utf-8"))
    return _comparable(found["rows"], found["households"], found["portal"], found["refused"])


def held(actual: Actual, refused: Iterable[str]) -> Mapping[str, Any]:
    """What stores hold and which cancellations were refused, in the same form."""
    rows = [_row(row) for row in actual.rows]
    return _comparable(rows, _households(actual.rows), _portal(actual.messages), refused)


def cancellations(refusals: Iterable[Mapping[str, Any]]) -> set[str]:
    """Numbers of the cancellations among refusals."""
    return {row["notice"] for row in refusals if row["code"].startswith(CANCELLATION_CODES)}


def _comparable(
    rows: Iterable[Mapping[str, Any]],
    households: Iterable[Any],
    portal: Iterable[Any],
    refused: Iterable[str],
) -> Mapping[str, Any]:
    return {
        "rows": Counter(tuple(sorted(row.items())) for row in rows),
        "households": Counter(tuple(sorted(members)) for members in households),
        "portal": Counter(tuple(sorted(map(tuple, messages))) for messages in portal),
        "refused": set(refused),
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: None if row[name] is None else str(row[name]) for name in COLUMNS if name in row}
    place = {"domain": row["domain"], "municipality": row.get("municipality"), "status": row["status"]}
    return place | shown


def _households(rows: Iterable[Mapping[str, Any]]) -> Iterable[list[str]]:
    members: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["domain"] == "local-tax" and row["status"] != "closed":
            members[row["household_code"]].append(f"{row['name']}{row['birth_date']}")
    return members.values()


def _portal(messages: Iterable[Mapping[str, Any]]) -> Iterable[list[tuple[str, str]]]:
    of_code: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message in messages:
        of_code[message["code"]].append((message["reason"], str(message["effective_on"])))
    return of_code.values()
