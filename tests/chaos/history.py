"""The events of a run as they happen: one line of JSON each, with the seconds since the start of the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson


@dataclass
class History:
    """Writes events to a file; may be used by several threads."""

    file: IO[bytes]
    begun_s: float = field(default_factory=time.monotonic)
    begun_at: float = field(default_factory=time.time)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, event: str, **values: Any) -> None:
        """Write an event that happens now."""
        line = orjson.dumps({"at_s": round(self.run_seconds(time.monotonic()), 3), "event": event, **values})
        with self._lock:
            self.file.write(line + b"\n")
            self.file.flush()

    def run_seconds(self, monotonic_s: float) -> float:
        """Return the seconds from the start of the run to a moment of the monotonic clock."""
        return monotonic_s - self.begun_s

    def run_seconds_of_timestamp(self, timestamp: float) -> float:
        """Return the seconds from the start of the run to a moment in seconds since 1970."""
        return timestamp - self.begun_at


@contextmanager
def open_history(file: Path) -> Iterator[History]:
    """Create `file` and yield a history that begins now."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        yield History(stream)


def read_history(file: Path) -> list[Mapping[str, Any]]:
    """Return the events of a run, without an incomplete last line."""
    return [orjson.loads(line) for line in file.read_bytes().splitlines() if line.endswith(b"}")]
