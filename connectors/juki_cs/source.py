"""The source of a gateway server's file. One record is one submission of one notice, its rows unchanged."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from connectors.files.parsing import Encoding, detect_encoding
from connectors.files.source import FileSettings, FileSource, municipality_of
from connectors.juki_cs.csv_row import HEADER, CsvRow, parse_row
from connectors.juki_cs.grouping import SCHEMA, group_rows, submissions_table
from connectors.source import Route, SubmissionBatch
from schemas.systems import publishers

_FILE_PREFIX: Final = "juki"


class JukiCsSource(FileSource[list[CsvRow]]):
    """A source of `juki_<municipality>[_...].csv`.

    `municipality` replaces the code in the file name. If `encoding` is given, the header must be in it;
    otherwise the header determines the encoding.
    """

    def __init__(
        self,
        path: Path,
        municipality: str | None = None,
        encoding: Encoding | None = None,
        settings: FileSettings | None = None,
    ) -> None:
        super().__init__(path, settings)
        (self._system,) = publishers(SCHEMA)
        self._municipality = municipality
        self._encoding = encoding

    def open(self) -> Collection[Route]:
        """Check the whole file. Raise SourceFileError if it cannot be ingested."""
        municipality = municipality_of(self._file.name, _FILE_PREFIX, "csv", self._municipality)
        route = Route(self._system, municipality)
        header = next(self._file.lines()).content
        encoding = detect_encoding(self._file.name, header, HEADER, self._encoding)
        # Reads the whole file for its errors only; `poll` reads it again.
        deque(self._submissions(encoding), maxlen=0)
        self._start_polling(
            self._submissions(encoding), lambda submissions: [self._to_batch(route, encoding, submissions)]
        )
        return [route]

    def _submissions(self, encoding: Encoding) -> Iterator[list[CsvRow]]:
        rows = (parse_row(line, encoding) for line in self._lines(skip=1))
        return group_rows(self._file.name, rows, self._settings)

    def _rows_in(self, item: list[CsvRow]) -> int:
        return len(item)

    def _to_batch(self, route: Route, encoding: Encoding, submissions: list[list[CsvRow]]) -> SubmissionBatch:
        rows = [row for submission in submissions for row in submission]
        faults = sum(row.fault is not None for row in rows)
        return SubmissionBatch(
            route, submissions_table(self._file.name, encoding, submissions), len(rows), faults
        )
