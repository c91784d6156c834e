"""What happened in a run, as it happened: a line of JSON for each event, in seconds since the run's beginning."""

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
    """Written by several threads."""

    file: IO[bytes]
    begun_s: float = field(default_factory=time.monotonic)
    begun_at: float = field(default_factory=time.time)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, event: str, **told: Any) -> None:
        """One event, now."""
        line = orjson.dumps({"at_s": round(self.now_s(), 3), "event": event, **told})
        with self._lock:
            self.file.write(line + b"\n")
            self.file.flush()

    def now_s(self) -> float:
        """Seconds since the beginning."""
        return self.since(time.monotonic())

    def since(self, moment_s: float) -> float:
        """The same, of another moment of the monotonic clock."""
        return moment_s - self.begun_s

    def of_day(self, at: float) -> float:
        """A moment of the monotonic clock, from one in seconds since 1970."""
        return self.begun_s + at - self.begun_at


@contextmanager
def history(file: Path) -> Iterator[History]:
    """A new one in `file`, beginning now."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        yield History(stream)


def read(file: Path) -> list[Mapping[str, Any]]:
    """The events of a run; a last line that was cut short is none."""
    return [orjson.loads(line) for line in file.read_bytes().splitlines() if line.endswith(b"}")]
