"""A synthetic city that is handed over in parts over several days, file by file with another delay.

So many notices are late, and some cancel what had been known. The reference model says what had been known on a day.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from infra.demo.run import city_files
from infra.verification.reference import Expected, expected
from infra.verification.synthetic.writing import write_city

Row = dict[str, Any]

FIRST: Final = date(2025, 12, 15)
#: The days on which parts are handed over.
DAYS: Final = tuple(FIRST + timedelta(days=number) for number in (0, 3, 6, 9, 13, 20))
#: How many days after its record a line of a file is due; of other files on the day itself.
LAGS: Final = {"juki_131041.csv": 4, "notices_131130.jsonl": 2, "events_card.jsonl": 3, "enrolments.csv": 1}
#: Days of effect before, between and on the days of the parts.
EFFECTIVE_DAYS: Final = sorted({*DAYS, FIRST - timedelta(days=10), FIRST + timedelta(days=4)})
#: Instead of a day of effect that isn't compared.
NO_DAY: Final = "-"
#: The column of a register's CSV file with the day on which a notice was recorded.
_RECORDED: Final = "届出日"


@dataclass
class Part:
    """The lines of a file with the days on which they are handed over; the days of a file only grow."""

    path: Path
    header: bytes
    lines: list[tuple[date, bytes]] = field(default_factory=list)

    def write(self, folder: Path, first: date, last: date) -> Path | None:
        """Write the lines of these days into a file of the same name; None if there are none."""
        lines = [line for day, line in self.lines if first <= day <= last]
        if not lines:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.path.name
        file.write_bytes(self.header + b"".join(lines))
        return file


def parts_of(files: Sequence[Path], first: date, lags: Mapping[str, int]) -> list[Part]:
    """Return the lines of files, each handed over so many days after its record as `lags` says for its file."""
    parts = []
    for path in files:
        part = Part(path, b"")
        day = first
        for line, recorded_on in _dated_lines(path):
            if recorded_on is None:
                part.header = line
                continue
            day = max(day, recorded_on + timedelta(days=lags.get(path.name, 0)))
            part.lines.append((day, line))
        parts.append(part)
    return parts


def _dated_lines(path: Path) -> Iterator[tuple[bytes, date | None]]:
    """Yield each line of a file with its day, None for the header."""
    lines = path.read_bytes().splitlines(keepends=True)
    if path.suffix == ".jsonl":
        for line in lines:
            event = json.loads(line)
            head = event.get("account", event)
            yield line, date.fromisoformat(head.get("recorded_on") or head["effective_on"])
        return
    encoding = "utf-8-sig" if lines[0].startswith(b"\xef\xbb\xbf") else "cp932"
    header = next(csv.reader([lines[0].decode(encoding)]))
    column = header.index(_RECORDED) if _RECORDED in header else len(header) - 1
    yield lines[0], None
    for line in lines[1:]:
        yield line, date.fromisoformat(next(csv.reader([line.decode(encoding)]))[column].strip())


class HandedOver:
    """A city in `folder`, with its parts."""

    def __init__(self, folder: Path, residents: int, seed: int) -> None:
        self.folder = folder
        write_city(folder / "city", residents, 18, seed, with_entities=True)
        self.parts = parts_of(city_files(folder / "city"), FIRST, LAGS)

    def files_on(self, day: date) -> list[Path]:
        """Return the files that are handed over on a day."""
        earlier = [each for each in DAYS if each < day]
        first = earlier[-1] + timedelta(days=1) if earlier else date.min
        return self._written(f"on-{day}", first, day)

    def expected_as_of(self, effective: date, known: date) -> Expected:
        """Return what the reference model says of a day, by what had been received until the end of another."""
        received_on = {
            (part.path.name, number): str(next((each for each in DAYS if each >= day), date.max))
            for part in self.parts
            for number, (day, _) in enumerate(part.lines, start=2 if part.header else 1)
        }
        order = {part.path.name: number for number, part in enumerate(self.parts)}
        return expected(
            self._written(f"until-{known}", date.min, known),
            receipt_of=lambda name, line: (received_on[name, line], order[name], line),
            received_on=lambda name, line: received_on[name, line],
            today=str(effective),
        )

    def _written(self, folder: str, first: date, last: date) -> list[Path]:
        files = [part.write(self.folder / folder, first, last) for part in self.parts]
        return [file for file in files if file is not None]


def hidden_rows(rows: Sequence[Mapping[str, Any]], born: set[str]) -> list[Row]:
    """Return rows without address and day of effect of those who were born on one of these days: were protected.

    A measure begins when it is received: rows then have its day, which may be later. The history has it from then on.
    """
    return [
        {**row, "address": None, **({"effective_on": NO_DAY} if "effective_on" in row else {})}
        if str(row["birth_date"]) in born
        else dict(row)
        for row in rows
    ]


def hidden_model(model: Expected, born: set[str]) -> Expected:
    """Return a model without address and day of effect of those who were born on one of these days."""
    details = [
        replace(detail, effective_on=NO_DAY) if str(row["birth_date"]) in born else detail
        for row, detail in zip(model.rows, model.details, strict=True)
    ]
    return replace(model, rows=hidden_rows(model.rows, born), details=details)
