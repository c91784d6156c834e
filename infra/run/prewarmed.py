"""A worker that has loaded everything and waits to be told which it is, so that one that died is back at once.

Loading takes a worker the better part of a second of CPU, and a dead one's partitions stand still meanwhile. The
supervisor keeps one process that has done so before (`python -m infra.run spare`); it reads its slot from standard
input, as one line, and is that slot's worker from then on. Where there is no spare, a worker starts cold.
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

from infra.run.slots import SINGLE, Slot

#: The word in the place of a step.
SPARE: Final = "spare"
#: A new one is made when no worker was started for so long: loading takes what a starting worker needs.
AFTER_S: Final = 5.0
#: What a worker of any step imports, beside what `infra.run.worker` itself does.
_MODULES: Final = (
    "connectors.postgres",
    "infra.keys",
    "infra.run.topology",
    "infra.run.sinks",
    "infra.codec",
    "processors.conversion.processor",
    "processors.fan_out.processor",
    "processors.household.processor",
    "processors.intake.processor",
    "streams.worker",
)


class PrewarmedWorker:
    """One spare at most, made by `begin`; `keep` is to be called now and then."""

    def __init__(self, begin: Callable[[Sequence[str]], subprocess.Popen[bytes]]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._due_s = time.monotonic() + AFTER_S

    def started(self) -> None:
        """A worker was started just now."""
        with self._lock:
            self._due_s = time.monotonic() + AFTER_S

    def keep(self) -> None:
        """Makes one where there is none, and it is time."""
        with self._lock:
            if (self._waiting is None or self._waiting.poll() is not None) and (
                time.monotonic() >= self._due_s
            ):
                self._waiting = self._begin([sys.executable, "-m", "infra.run", SPARE])

    def take(self, slot: Slot, log: Path) -> subprocess.Popen[bytes] | None:
        """The slot's worker from now on; None where there is no spare, or none for such a slot."""
        # The tracker's libraries are its own, and are not to be loaded with the others'.
        if slot.step in SINGLE:
            return None
        with self._lock:
            process, self._waiting = self._waiting, None
        if process is None or process.stdin is None or process.poll() is not None:
            return None
        told = {"step": slot.step, "slot": slot.number, "log": str(log)}
        try:
            with process.stdin as line:
                line.write(orjson.dumps(told) + b"\n")
        except OSError:
            process.kill()
            process.wait()
            return None
        return process

    def end(self) -> None:
        """There is none any more, and none is made."""
        with self._lock:
            process, self._waiting, self._due_s = self._waiting, None, float("inf")
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.terminate()
            process.wait()


def told_slot(load: Callable[[], None]) -> Slot | None:
    """For the spare itself: loads, and waits until it is told; None where nobody will tell it anything any more.

    What it writes goes to the log of its slot from then on.
    """
    load()
    line = sys.stdin.readline()
    if not line:
        return None
    told = orjson.loads(line)
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)
    return Slot(told["step"], told["slot"])


def load_all() -> None:
    """What takes long and is the same for every step."""
    for name in _MODULES:
        importlib.import_module(name)
