"""The source of a file of JSON Lines: each line is one event of the schema that the system publishes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from connectors.errors import FileFormatError, FileNameError
from connectors.events.line import LineReader
from connectors.files.lines import LineFile
from connectors.files.naming import municipality_of
from connectors.files.settings import FileSettings
from connectors.source import HandOvers, Route
from schemas.systems import SYSTEMS
from schemas.tables import table_from_rows


class EventsSource:
    """Reads events of `system`; of a municipal one, the municipality is given or in the name.

    The name is then `<prefix>_<municipality>[_...].jsonl`, `prefix` being the system's id by default. KeyError for an
    unknown system or one that publishes nothing.
    """

    def __init__(
        self,
        system: str,
        path: Path,
        municipality: str | None = None,
        settings: FileSettings | None = None,
        prefix: str | None = None,
    ) -> None:
        self._settings = settings or FileSettings()
        self._file = LineFile(path, self._settings.line_bytes_max)
        self._system = SYSTEMS[system]
        self._given = municipality
        self._prefix = prefix or system
        self._reader = LineReader(Route(system).schema, path.name)
        self._rows: Iterator[dict[str, Any]] = iter(())
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
        route = Route(self._system.id, self._municipality())
        if not next(self._file.lines()).content.lstrip().startswith(b"{"):
            raise FileFormatError(
                f"{self._file.name} does not begin with an object of JSON: it is no JSON Lines"
            )
        for line in self._file.lines():
            if not self._reader.carries_faults:
                self._reader.read(line)
        self._route, self._rows = route, self._all()
        return [route]

    def poll(self) -> Sequence[HandOvers]:
        """The next events; empty at the end."""
        rows = list(islice(self._rows, self._settings.batch_rows_max))
        self._done = self._read if rows else self.bytes_total
        if not rows or self._route is None:
            return []
        faults = sum(row.get("fault") is not None for row in rows)
        return [HandOvers(self._route, table_from_rows(self._route.schema, rows), len(rows), faults)]

    def commit(self) -> None:
        """A file has no place to remember: taken in again, what is in already changes nothing."""

    def close(self) -> None:
        """Lets go of the file."""
        self._rows = iter(())

    def _municipality(self) -> str | None:
        if self._system.municipal:
            return municipality_of(self._file.name, self._prefix, "jsonl", self._given)
        if self._given is not None:
            raise FileNameError(f"{self._system.id} is national: it has no municipality")
        return None

    def _all(self) -> Iterator[dict[str, Any]]:
        for line in self._file.lines():
            self._read = line.end
            yield self._reader.read(line)
