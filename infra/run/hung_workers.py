"""Detection of hung workers: processes whose heartbeat has not changed for longer than any iteration may take."""

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

#: Longer than `max_poll_interval_ms`: by then the group has assigned the worker's partitions to others.
HUNG_AFTER_S: Final = 180.0
#: How long a hung worker may take to write the stacks of its threads.
STACK_DUMP_S: Final = 0.5

Process = subprocess.Popen[bytes]


class HungWorkerDetector:
    """Compares heartbeats by the supervisor's clock, because times in the files may jump. Sinks have no heartbeat."""

    def __init__(self, installation: Installation, clock: Callable[[], float] = time.monotonic) -> None:
        self._installation, self._clock = installation, clock
        #: The last heartbeat by pid, and the time at which it was first seen.
        self._last_seen: dict[int, tuple[bytes, float]] = {}

    def hung(self, running: Iterable[tuple[Slot, Process]]) -> list[tuple[Slot, Process]]:
        """Return the hung workers among the running ones. Call it regularly."""
        now = self._clock()
        before, self._last_seen = self._last_seen, {}
        hung = []
        for slot, process in running:
            heartbeat = self._heartbeat(slot, process.pid)
            last, since = before.get(process.pid, (b"", now))
            self._last_seen[process.pid] = (heartbeat, since if heartbeat == last else now)
            if heartbeat and heartbeat == last and now - since > HUNG_AFTER_S:
                hung.append((slot, process))
        return hung

    def _heartbeat(self, slot: Slot, pid: int) -> bytes:
        """Return the heartbeat of this process; nothing if the slot's file is of an earlier process."""
        try:
            heartbeat = heartbeat_file(self._installation, slot).read_bytes()
            return heartbeat if orjson.loads(heartbeat)["pid"] == pid else b""
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError):
            return b""


def kill_with_stacks(process: Process) -> None:
    """Make the process write the stack of each of its threads to its log (SIGUSR1), then kill it."""
    process.send_signal(signal.SIGUSR1)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STACK_DUMP_S)
    process.kill()
