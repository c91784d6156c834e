"""Workers that hang: alive, and not a turn for longer than any may take."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import orjson

from infra.apply.installation import Installation
from infra.run.slots import Slot
from infra.run.worker import heartbeat_file

#: Longer than `max_poll_interval_ms`: the group has given its partitions to others by then.
HANGS_AFTER_S: Final = 150.0
#: Within this a worker that hangs has written where.
TOLD_S: Final = 0.5

Process = subprocess.Popen[bytes]


class HungWorkerDetector:
    """Watches heartbeats, by our own clock: what a file says of the time may jump. Sinks write none."""

    def __init__(self, installation: Installation, clock: Callable[[], float] = time.monotonic) -> None:
        self._installation, self._clock = installation, clock
        self._seen: dict[int, tuple[bytes, float]] = {}

    def found(self, running: Iterable[tuple[Slot, Process]]) -> list[tuple[Slot, Process]]:
        """Those that hang."""
        now = self._clock()
        before, self._seen = self._seen, {}
        hanging = []
        for slot, process in running:
            told = self._heartbeat(slot, process.pid)
            last, since = before.get(process.pid, (b"", now))
            self._seen[process.pid] = (told, since if told == last else now)
            if told and told == last and now - since > HANGS_AFTER_S:
                hanging.append((slot, process))
        return hanging

    def _heartbeat(self, slot: Slot, pid: int) -> bytes:
        """What this process, not one before it, has said last."""
        try:
            told = heartbeat_file(self._installation, slot).read_bytes()
            return told if orjson.loads(told)["pid"] == pid else b""
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError):
            return b""


def end_by_force(process: Process) -> None:
    """It writes into its log where each of its threads stands, and is killed."""
    process.send_signal(signal.SIGUSR1)
    with suppress(subprocess.TimeoutExpired):
        process.wait(TOLD_S)
    process.kill()
