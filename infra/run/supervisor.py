"""Starts a process for each slot, and starts it again when it dies; what runs stands in a file beside it.

One supervisor per installation: it holds a lock of the operating system, which no crash leaves behind. Workers end by
themselves when their supervisor is gone (`infra.run.worker`).
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psutil
from filelock import FileLock, Timeout

from infra.apply.installation import Installation
from infra.errors import OperatorError
from infra.local.home import write_json
from infra.run.hung_workers import HungWorkerDetector, end_by_force
from infra.run.prewarmed import PrewarmedWorker
from infra.run.restart_policy import RestartPolicy
from infra.run.slots import Slot

#: How long workers may take to end their transactions, before they are killed.
STOP_TIMEOUT_S = 15.0
#: A log larger than this is put aside when its worker starts again; one older log is kept.
LOG_BYTES_MAX = 50_000_000
#: How often it is looked whether a spare is to be made, and whether a worker hangs.
SPARE_EVERY_S = 0.5


@dataclass(frozen=True)
class WorkerState:
    """What is known of a worker: `state` is running, waiting (to be started again), given-up or stopped."""

    step: str
    slot: int
    state: str
    pid: int | None
    restarts: int
    exit_code: int | None


@dataclass(frozen=True)
class Supervised:
    """A supervisor that is running, and its workers."""

    pid: int
    workers: tuple[WorkerState, ...]

    @property
    def slots(self) -> list[Slot]:
        """The slots that it keeps running."""
        return [Slot(worker.step, worker.slot) for worker in self.workers]


class Supervisor:
    """`run` returns after `stop`, or when every worker is given up."""

    def __init__(
        self,
        installation: Installation,
        slots: Sequence[Slot],
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._installation, self._slots, self._say = installation, slots, say
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._states: dict[Slot, WorkerState] = {}
        self._processes: dict[Slot, subprocess.Popen[bytes]] = {}
        self._spares = PrewarmedWorker(_spare)
        self._hanging = HungWorkerDetector(installation)

    def stop(self) -> None:
        """Have `run` end."""
        self._stopping.set()

    def run(self) -> bool:
        """Whether it ended as told; False: every worker was given up. OperatorError: another supervisor runs here."""
        self._installation.run.mkdir(parents=True, exist_ok=True)
        self._installation.logs.mkdir(parents=True, exist_ok=True)
        with _only_one(self._installation):
            watchers = [
                threading.Thread(target=self._watch, args=[slot], name=slot.name) for slot in self._slots
            ]
            for watcher in watchers:
                watcher.start()
            while not self._stopping.wait(SPARE_EVERY_S):
                self._spares.keep()
                self._end_hanging()
            self._spares.end()
            self._end_all()
            for watcher in watchers:
                watcher.join()
            _state_file(self._installation).unlink(missing_ok=True)
        return not self._all_given_up()

    def _end_all(self) -> None:
        """Tell every worker to end its transaction and itself; kill who doesn't."""
        with self._lock:
            running = list(self._processes.values())
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                end_by_force(process)

    def _end_hanging(self) -> None:
        with self._lock:
            running = list(self._processes.items())
        for slot, process in self._hanging.found(running):
            self._say(f"{slot.name} hangs, and is ended; see {self._log(slot)}")
            end_by_force(process)

    def _watch(self, slot: Slot) -> None:
        restarts = RestartPolicy()
        while not self._stopping.is_set():
            begun = time.monotonic()
            exit_code = self._once(slot, restarts)
            if self._stopping.is_set():
                break
            delay_s = restarts.after(exit_code, time.monotonic() - begun)
            self._note(slot, "given-up" if delay_s is None else "waiting", None, restarts, exit_code)
            if delay_s is None:
                self._say(f"{slot.name} is given up (exit code {exit_code}); see {self._log(slot)}")
                if self._all_given_up():
                    self.stop()
                return
            self._say(f"{slot.name} ended with {exit_code}; starts again in {delay_s:.1f} s")
            self._stopping.wait(delay_s)
        self._note(slot, "stopped", None, restarts, None)

    def _once(self, slot: Slot, restarts: RestartPolicy) -> int:
        """One life of a worker; its exit code."""
        log = self._log(slot)
        _put_aside(log)
        with self._lock:
            if self._stopping.is_set():
                return 0
            process = self._processes[slot] = self._spares.take(slot, log) or _cold(slot, log)
        self._spares.started()
        self._note(slot, "running", process.pid, restarts, None)
        self._say(f"{slot.name} runs (pid {process.pid})")
        exit_code = process.wait()
        with self._lock:
            del self._processes[slot]
        return exit_code

    def _all_given_up(self) -> bool:
        with self._lock:
            states = [self._states[slot].state for slot in self._slots if slot in self._states]
        return len(states) == len(self._slots) and all(state == "given-up" for state in states)

    def _note(
        self, slot: Slot, state: str, pid: int | None, restarts: RestartPolicy, code: int | None
    ) -> None:
        with self._lock:
            self._states[slot] = WorkerState(slot.step, slot.number, state, pid, restarts.total, code)
            me = psutil.Process()
            workers = [asdict(self._states[each]) for each in self._slots if each in self._states]
            found = {"pid": me.pid, "started": me.create_time(), "workers": workers}
            write_json(_state_file(self._installation), found)

    def _log(self, slot: Slot) -> Path:
        return self._installation.logs / f"{slot.name}.log"


def supervised(installation: Installation) -> Supervised | None:
    """What runs here now; None where no supervisor does. A pid used again by another program is seen through."""
    try:
        found = orjson.loads(_state_file(installation).read_bytes())
        alive = psutil.Process(found["pid"]).create_time() == found["started"]
    except (OSError, psutil.NoSuchProcess):
        return None
    workers = tuple(WorkerState(**worker) for worker in found["workers"])
    return Supervised(found["pid"], workers) if alive else None


def _cold(slot: Slot, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infra.run", slot.step, str(slot.number)]
    with log.open("ab") as output:
        # Ctrl-C at the terminal is ours to hear, not theirs: workers are told in order.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )


def _spare(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0)


def _state_file(installation: Installation) -> Path:
    return installation.run / "workers.json"


@contextmanager
def _only_one(installation: Installation) -> Iterator[None]:
    lock = FileLock(installation.run / "workers.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OperatorError("workers are running here already: `mesh status`, `mesh down`") from None
    try:
        yield
    finally:
        lock.release()


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".previous.log"))
