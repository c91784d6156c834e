"""The source of `notices_<municipality>[_...].jsonl`: events of the system juki under another name of file."""

from __future__ import annotations

from pathlib import Path

from connectors.events.source import EventsSource
from connectors.files.source import FileSettings

SYSTEM = "juki"


class NoticesSource(EventsSource):
    """Reads a municipality's notices; `municipality` overrides what the name says."""

    def __init__(
        self, path: Path, municipality: str | None = None, settings: FileSettings | None = None
    ) -> None:
        super().__init__(SYSTEM, path, municipality, settings, prefix="notices")
