"""Reader of the input files that registers, domains and the portal write, and of a sample city's expected contents.

Tests of different steps make different records of the same files. All read them here, not by the product's sources.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def text_of(path: Path) -> str:
    """Return a file's text, whether it is UTF-8 or CP932, as old systems write it."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp932")


def csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a CSV file without its header: line number (from 2) and values."""
    lines = csv.reader(io.StringIO(text_of(path), newline=""))
    return list(enumerate(lines, start=1))[1:]


def csv_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV file: line number (from 2) and values by the names in the header."""
    return list(enumerate(csv.DictReader(io.StringIO(text_of(path), newline="")), start=2))


def json_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a JSON Lines file: line number (from 1) and text."""
    return list(enumerate(text_of(path).splitlines(), start=1))


def group_notices(
    rows: Iterable[T], notice_of: Callable[[T], object], person_of: Callable[[T], object]
) -> Iterator[list[T]]:
    """Yield the rows of each submission: adjacent ones of a notice number, until a person is repeated."""
    group: list[T] = []
    for row in rows:
        persons = {person_of(earlier) for earlier in group}
        if group and (notice_of(row) != notice_of(group[0]) or person_of(row) in persons):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def expected_json(folder: Path) -> dict[str, Any]:
    """Return the content of a city's expected.json."""
    content: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return content
