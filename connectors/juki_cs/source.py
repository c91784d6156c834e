"""The source of a gateway server's file: one record is one hand-over of one notice, its rows as they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

from connectors.files.parsing import Encoding, encoding_of
from connectors.files.source import FileSettings, FileSource, municipality_of
from connectors.juki_cs.csv_row import HEADER, CsvRow, row_of
from connectors.juki_cs.grouping import group_rows, table_of
from connectors.source import Route, SubmissionBatch

SYSTEM = "juki-cs"


class JukiCsSource(FileSource[list[CsvRow]]):
    """Reads `juki_<municipality>[_...].csv`; `municipality` and `encoding` override what name and header say."""

    def __init__(
        self,
        path: Path,
        municipality: str | None = None,
        encoding: Encoding | None = None,
        settings: FileSettings | None = None,
    ) -> None:
        super().__init__(path, settings)
        self._given = municipality
        self._encoding = encoding

    def open(self) -> Collection[Route]:
        """Looks the whole file through; SourceFileError: nothing of it can be taken in."""
        route = Route(SYSTEM, municipality_of(self._file.name, "juki", "csv", self._given))
        header = next(self._file.lines()).content
        encoding = encoding_of(self._file.name, header, HEADER, self._encoding)
        deque(self._notices(encoding), maxlen=0)
        self._begin(self._notices(encoding), lambda notices: [self._of(route, encoding, notices)])
        return [route]

    def _notices(self, encoding: Encoding) -> Iterator[list[CsvRow]]:
        rows = (row_of(line, encoding) for line in self._lines(after=1))
        return group_rows(self._file.name, rows, self._settings)

    def _rows_in(self, item: list[CsvRow]) -> int:
        return len(item)

    def _of(self, route: Route, encoding: Encoding, notices: list[list[CsvRow]]) -> SubmissionBatch:
        rows = [row for notice in notices for row in notice]
        faults = sum(row.fault is not None for row in rows)
        return SubmissionBatch(route, table_of(self._file.name, encoding, notices), len(rows), faults)
