"""The source of a gateway server's file: one record is one hand-over of one notice, its rows as they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

from connectors.files.naming import municipality_of
from connectors.files.settings import FileSettings
from connectors.files.source import FileSource
from connectors.files.text import Encoding, encoding_of
from connectors.juki_cs.hand_over import hand_overs, table_of
from connectors.juki_cs.row import HEADER, Row, row_of
from connectors.source import HandOvers, Route

SYSTEM = "juki-cs"


class JukiCsSource(FileSource[list[Row]]):
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

    def _notices(self, encoding: Encoding) -> Iterator[list[Row]]:
        rows = (row_of(line, encoding) for line in self._lines(after=1))
        return hand_overs(self._file.name, rows, self._settings)

    def _rows_in(self, item: list[Row]) -> int:
        return len(item)

    def _of(self, route: Route, encoding: Encoding, notices: list[list[Row]]) -> HandOvers:
        rows = [row for notice in notices for row in notice]
        faults = sum(row.fault is not None for row in rows)
        return HandOvers(route, table_of(self._file.name, encoding, notices), len(rows), faults)
