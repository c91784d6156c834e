"""Cities that tests ingest, and the contents of the stores in the format of a city's expected.json."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infra.verification.reference import Actual
from tests.register_files import expected_json

COLUMNS = ("name", "kana", "roman", "birth_date", "sex", "address", "relationship")
CANCELLATION_CODES = "CANCELS_"


def files_of(folder: Path) -> list[Path]:
    """Return a city's files: registers (CSV first), enrolments, the portal's events."""
    return [
        *sorted(folder.glob("juki_*.csv")),
        *sorted(folder.glob("notices_*.jsonl")),
        *sorted(folder.glob("enrolments*.csv")),
        *sorted(folder.glob("events_portal*.jsonl")),
    ]


def expected_contents(folder: Path) -> Mapping[str, Any]:
    """Return the content of a city's expected.json, in a format that compares without regard to order."""
    expected = expected_json(folder)
    return _comparable(expected["rows"], expected["households"], expected["portal"], expected["refused"])


def actual_contents(actual: Actual, rejected: Iterable[str]) -> Mapping[str, Any]:
    """Return the contents of the stores and the numbers of rejected cancellations, in the same format."""
    rows = [_row(row) for row in actual.rows]
    return _comparable(rows, _households(actual.rows), _portal(actual.messages), rejected)


def rejected_cancellations(rejections: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the notice numbers of the cancellations among these rejections."""
    return {row["notice"] for row in rejections if row["code"].startswith(CANCELLATION_CODES)}


def _comparable(
    rows: Iterable[Mapping[str, Any]],
    households: Iterable[Any],
    portal: Iterable[Any],
    rejected: Iterable[str],
) -> Mapping[str, Any]:
    return {
        "rows": Counter(tuple(sorted(row.items())) for row in rows),
        "households": Counter(tuple(sorted(members)) for members in households),
        "portal": Counter(tuple(sorted(map(tuple, messages))) for messages in portal),
        "rejected": set(rejected),
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: None if row[name] is None else str(row[name]) for name in COLUMNS if name in row}
    return {"domain": row["domain"], "municipality": row.get("municipality"), "status": row["status"]} | facts


def _households(rows: Iterable[Mapping[str, Any]]) -> Iterable[list[str]]:
    members: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["domain"] == "local-tax" and row["status"] != "closed":
            members[row["household_code"]].append(f"{row['name']}{row['birth_date']}")
    return members.values()


def _portal(messages: Iterable[Mapping[str, Any]]) -> Iterable[list[tuple[str, str]]]:
    by_code: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message in messages:
        by_code[message["code"]].append((message["reason"], str(message["effective_on"])))
    return by_code.values()
