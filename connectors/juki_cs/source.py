"""The source of a gateway server's file: one record is one hand-over of one notice, its rows as they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

from connectors.files.lines import LineFile
from connectors.files.naming import municipality_of
from connectors.files.settings import FileSettings
from connectors.files.text import Encoding, encoding_of
from connectors.juki_cs.hand_over import hand_overs, table_of
from connectors.juki_cs.row import HEADER, Row, row_of
from connectors.source import HandOvers, Route

SYSTEM = "juki-cs"


class JukiCsSource:
    """Reads `juki_<municipality>[_...].csv`; `municipality` and `encoding` override what name and header say."""

    def __init__(
        self,
        path: Path,
        municipality: str | None = None,
        encoding: Encoding | None = None,
        settings: FileSettings | None = None,
    ) -> None:
        self._settings = settings or FileSettings()
        self._file = LineFile(path, self._settings.line_bytes_max)
        self._given = municipality
        self._encoding = encoding
        self._notices: Iterator[list[Row]] = iter(())
        self._route: Route | None = None
        self._read = self._done = 0

    @property
    def bytes_total(self) -> int:
        """Size of the file."""
        return self._file.size

    @property
    def bytes_done(self) -> int:
        """Bytes of the file read for what was polled."""
        return self._done

    def open(self) -> Collection[Route]:
        """Looks the whole file through; SourceFileError: nothing of it can be taken in."""
        municipality = municipality_of(self._file.name, "juki", "csv", self._given)
        lines = self._file.lines()
        self._encoding = encoding_of(self._file.name, next(lines).content, HEADER, self._encoding)
        route = Route(SYSTEM, municipality)
        looked = hand_overs(self._file.name, (row_of(line, self._encoding) for line in lines), self._settings)
        deque(looked, maxlen=0)
        self._notices = hand_overs(self._file.name, self._rows(self._encoding), self._settings)
        self._route = route
        return [route]

    def poll(self) -> Sequence[HandOvers]:
        """The next hand-overs, of about `batch_rows_max` rows; empty at the end."""
        notices = list(self._some())
        self._done = self._read if notices else self.bytes_total
        if not notices or self._route is None or self._encoding is None:
            return []
        rows = [row for notice in notices for row in notice]
        faults = sum(row.fault is not None for row in rows)
        table = table_of(self._file.name, self._encoding, notices)
        return [HandOvers(self._route, table, len(rows), faults)]

    def commit(self) -> None:
        """A file has no place to remember: taken in again, its notices are duplicates, which change nothing."""

    def close(self) -> None:
        """Lets go of the file."""
        self._notices = iter(())

    def _some(self) -> Iterator[list[Row]]:
        rows = 0
        for notice in self._notices:
            yield notice
            rows += len(notice)
            if rows >= self._settings.batch_rows_max:
                return

    def _rows(self, encoding: Encoding) -> Iterator[Row]:
        for line in islice(self._file.lines(), 1, None):
            self._read = line.end
            yield row_of(line, encoding)
