"""A worker process that has loaded all modules and waits for its slot, so that an ended worker is replaced at once.

Loading takes a worker most of a second of CPU, during which the ended worker's partitions are stalled. The supervisor
keeps one process that has done it already (`python -m infra.run prewarm`). The process reads one line with its slot
from standard input and is that slot's worker from then on. Without a prewarmed process, a worker starts cold.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson

from infra.run.generation import installed_generation
from infra.run.slots import SINGLE, Slot

#: The argument of `infra.run` in place of a step.
PREWARM: Final = "prewarm"
#: A new process is started when no worker was started for so long, because loading competes with starting workers.
IDLE_BEFORE_PREWARM_S: Final = 5.0
#: Modules that a worker of any step imports, in addition to those of `infra.run.worker`.
_MODULES: Final = (
    "connectors.postgres",
    "infra.keys",
    "infra.run.topology",
    "infra.run.sinks",
    "infra.coding",
    "processors.conversion.processor",
    "processors.fan_out.processor",
    "processors.household.processor",
    "processors.intake.processor",
    "streams.worker",
)


class PrewarmedWorker:
    """At most one prewarmed process, started by `start_process`. Call `ensure` regularly.

    `generation` returns that of the installed code. A process that has loaded another one never becomes a worker.
    """

    def __init__(
        self,
        start_process: Callable[[Sequence[str]], subprocess.Popen[bytes]],
        generation: Callable[[], str] = installed_generation,
    ) -> None:
        self._start_process, self._installed_generation = start_process, generation
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        #: The generation that was installed before the process began to load.
        self._generation = ""
        self._start_at_s = time.monotonic() + IDLE_BEFORE_PREWARM_S

    def postpone(self) -> None:
        """Postpone the next prewarmed process, because a worker was started just now."""
        with self._lock:
            self._start_at_s = time.monotonic() + IDLE_BEFORE_PREWARM_S

    def ensure(self) -> None:
        """Start a process if none is running and it is not postponed."""
        with self._lock:
            if (self._process is None or self._process.poll() is not None) and (
                time.monotonic() >= self._start_at_s
            ):
                self._generation = self._installed_generation()
                self._process = self._start_process([sys.executable, "-m", "infra.run", PREWARM])

    def assign(self, slot: Slot, log: Path, generation: str | None = None) -> subprocess.Popen[bytes] | None:
        """Make the prewarmed process the slot's worker and return it; None if there is none for this slot.

        A process that has loaded other code than `generation`, by default that installed now, is ended.
        """
        # The tracker has libraries of its own, and the clock needs few: nobody waits for either to start.
        if slot.step in SINGLE:
            return None
        with self._lock:
            process, self._process = self._process, None
        if process is None or process.stdin is None or process.poll() is not None:
            return None
        if self._generation != (generation or self._installed_generation()):
            _end(process)
            return None
        assignment = {"step": slot.step, "slot": slot.number, "log": str(log)}
        try:
            with process.stdin as line:
                line.write(orjson.dumps(assignment) + b"\n")
        except OSError:
            process.kill()
            process.wait()
            return None
        return process

    def stop(self) -> None:
        """End the process and start no other one."""
        with self._lock:
            process, self._process, self._start_at_s = self._process, None, float("inf")
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    process.wait()


def wait_for_slot(load: Callable[[], None]) -> Slot | None:
    """Load, then wait for a slot and return it; None if the supervisor has closed standard input.

    For the prewarmed process itself. From then on its output goes to the slot's log.
    """
    load()
    line = sys.stdin.readline()
    if not line:
        return None
    assignment = orjson.loads(line)
    log = os.open(assignment["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)
    return Slot(assignment["step"], assignment["slot"])


def load_modules() -> None:
    """Import all modules that a worker of any step needs."""
    for name in _MODULES:
        importlib.import_module(name)
