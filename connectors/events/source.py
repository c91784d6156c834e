"""The source of a file of JSON Lines: each line is one event of the schema that the system publishes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from connectors.errors import FileFormatError, FileNameError
from connectors.events.line import LineReader
from connectors.files.source import FileSettings, FileSource, municipality_of
from connectors.source import Route, SubmissionBatch
from schemas.systems import SYSTEMS
from schemas.tables import table_from_rows

Row = dict[str, Any]


class EventsSource(FileSource[Row]):
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
        super().__init__(path, settings)
        self._system = SYSTEMS[system]
        self._given = municipality
        self._prefix = prefix or system
        self._reader = LineReader(Route(system).schema, path.name)

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
        self._begin(map(self._reader.read, self._lines()), lambda rows: [_of(route, rows)])
        return [route]

    def _municipality(self) -> str | None:
        if self._system.municipal:
            return municipality_of(self._file.name, self._prefix, "jsonl", self._given)
        if self._given is not None:
            raise FileNameError(f"{self._system.id} is national: it has no municipality")
        return None


def _of(route: Route, rows: list[Row]) -> SubmissionBatch:
    faults = sum(row.get("fault") is not None for row in rows)
    return SubmissionBatch(route, table_from_rows(route.schema, rows), len(rows), faults)
