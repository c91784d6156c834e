"""Sources of JSON Lines: each line is one event of the schema that the system publishes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from connectors.errors import FileFormatError, FileNameError
from connectors.events.json_line import JsonLineParser
from connectors.files.source import FileSettings, FileSource, municipality_of
from connectors.source import Route, SubmissionBatch
from schemas.systems import SYSTEMS, publishers
from schemas.tables import table_from_rows

#: Schema of the notices that a register publishes itself, and what the names of such files begin with.
_NOTICE_SCHEMA: Final = "juki-notice"
_NOTICE_FILE_PREFIX: Final = "notices"


class EventsSource(FileSource[dict[str, Any]]):
    """A source of events of `system`.

    For a municipal system, the municipality is passed in, or the file is named `<prefix>_<municipality>[_...].jsonl`.
    By default `prefix` is the system's id, and `events_` may be before it. Raises KeyError for an unknown system or one
    that publishes nothing.
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
        self._municipality = municipality
        self._prefix = prefix or system
        self._parser = JsonLineParser(Route(system).schema, path.name)

    def open(self) -> Collection[Route]:
        """Check the whole file. Raise SourceFileError if it cannot be ingested."""
        route = Route(self._system.id, self._route_municipality())
        if not next(self._file.lines()).content.lstrip().startswith(b"{"):
            raise FileFormatError(
                f"{self._file.name} does not begin with a JSON object, so it is not JSON Lines"
            )
        for line in self._file.lines():
            if not self._parser.has_fault_fields:
                self._parser.parse(line)
        self._start_polling(map(self._parser.parse, self._lines()), lambda rows: [_to_batch(route, rows)])
        return [route]

    def _route_municipality(self) -> str | None:
        if self._system.municipal:
            name = self._file.name
            # As the synthetic city's files are named.
            name = name if self._prefix != self._system.id else name.removeprefix("events_")
            return municipality_of(name, self._prefix, "jsonl", self._municipality)
        if self._municipality is not None:
            raise FileNameError(f"{self._system.id} is a national system: omit the municipality")
        return None


class NoticesSource(EventsSource):
    """A source of a register's own notices, `notices_<municipality>[_...].jsonl`.

    The system is the one whose declaration publishes the schema of such notices.
    """

    def __init__(
        self, path: Path, municipality: str | None = None, settings: FileSettings | None = None
    ) -> None:
        (system,) = publishers(_NOTICE_SCHEMA)
        super().__init__(system, path, municipality, settings, prefix=_NOTICE_FILE_PREFIX)


def _to_batch(route: Route, rows: list[dict[str, Any]]) -> SubmissionBatch:
    faults = sum(row.get("fault") is not None for row in rows)
    return SubmissionBatch(route, table_from_rows(route.schema, rows), len(rows), faults)
