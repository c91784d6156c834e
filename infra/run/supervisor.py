"""The supervisor: starts a process per slot, restarts processes that end, and writes their state to a file.

One supervisor runs per installation. It holds a lock of the operating system, which a crash releases. Workers end by
themselves when their supervisor has ended (`infra.run.worker`).

`python -m infra.run.supervisor TAG WORKERS [STEP …]` runs it in the background. TAG is not used here:
it marks the command line, by which `infra.local.process` finds the process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psutil
import structlog

from infra.apply.installation import Installation
from infra.errors import OperatorError
from infra.local.home import write_json
from infra.run.exclusive import exclusive
from infra.run.generation import installed_generation
from infra.run.hung_workers import HungWorkerDetector, kill_with_stacks
from infra.run.prewarmed import PrewarmedWorker
from infra.run.restart_policy import RestartPolicy
from infra.run.restart_requests import RestartRequests
from infra.run.scaling import take_request
from infra.run.slots import Slot, slots

#: How long workers may take to end after SIGTERM before they are killed.
STOP_TIMEOUT_S = 15.0
#: A log larger than this is renamed when its worker restarts; one older log is kept.
LOG_BYTES_MAX = 50_000_000
#: How often to check for a missing prewarmed process and for hung workers.
CHECK_EVERY_S = 0.5


@dataclass(frozen=True)
class WorkerState:
    """The state of a worker: `state` is running, waiting (to be restarted), given-up or stopped.

    `generation` is that of its process, or of its last one; empty under a supervisor of an earlier release.
    """

    step: str
    slot: int
    state: str
    pid: int | None
    restarts: int
    exit_code: int | None
    generation: str = ""


@dataclass(frozen=True)
class RunningSupervisor:
    """A running supervisor and its workers."""

    pid: int
    workers: tuple[WorkerState, ...]

    @property
    def slots(self) -> list[Slot]:
        """The slots of its workers."""
        return [Slot(worker.step, worker.slot) for worker in self.workers]


class Supervisor:
    """Runs the workers of `slots`, and of other slots if requested (`infra.run.scaling`).

    `run` returns after `stop`, or when every worker is given up.
    """

    def __init__(
        self,
        installation: Installation,
        slots: Sequence[Slot],
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._installation, self._slots, self._report = installation, list(slots), report
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._states: dict[Slot, WorkerState] = {}
        self._processes: dict[Slot, subprocess.Popen[bytes]] = {}
        #: Set for a slot when its worker is to end for good.
        self._leaving: dict[Slot, threading.Event] = {}
        self._watchers: list[threading.Thread] = []
        #: What was installed when each slot's last process started.
        self._generations: dict[Slot, str] = {}
        #: Names of slots that were given up and are to be started again.
        self._revived: set[str] = set()
        self._prewarmed = PrewarmedWorker(_start_prewarmed)
        self._hung_workers = HungWorkerDetector(installation)

    def stop(self) -> None:
        """Request `run` to stop the workers and return."""
        self._stopping.set()
        for leaving in list(self._leaving.values()):
            leaving.set()

    def run(self) -> bool:
        """Run until `stop`, then return True; return False when every worker was given up.

        Raise OperatorError where another supervisor runs in this installation.
        """
        self._installation.run_folder.mkdir(parents=True, exist_ok=True)
        self._installation.logs_folder.mkdir(parents=True, exist_ok=True)
        with exclusive(
            self._installation.run_folder / "workers.lock",
            "workers are running here already: `mesh status`, `mesh down`",
        ):
            requests = RestartRequests(self._installation, STOP_TIMEOUT_S)
            for slot in self._slots:
                self._start_watcher(slot)
            while not self._stopping.wait(CHECK_EVERY_S):
                self._prewarmed.ensure()
                self._end_hung()
                self._scale()
                self._restart_requested(requests)
            self._prewarmed.stop()
            self._end_all()
            for watcher in self._watchers:
                watcher.join()
            _state_file(self._installation).unlink(missing_ok=True)
        return not self._all_given_up()

    def _start_watcher(self, slot: Slot) -> None:
        leaving = self._leaving[slot] = threading.Event()
        if self._stopping.is_set():
            leaving.set()
        self._watchers.append(threading.Thread(target=self._watch, args=[slot], name=slot.name))
        self._watchers[-1].start()

    def _scale(self) -> None:
        """Start and stop workers so that the requested slots run, if there is a request."""
        if any(leaving.is_set() for leaving in list(self._leaving.values())):
            # A slot that is requested again starts after its worker has ended.
            return
        requested = take_request(self._installation, psutil.Process().pid)
        if requested is None:
            return
        for slot in [slot for slot in self._slots if slot not in requested]:
            self._remove(slot)
        for slot in [slot for slot in requested if slot not in self._slots]:
            with self._lock:
                self._slots.append(slot)
            self._start_watcher(slot)

    def _remove(self, slot: Slot) -> None:
        """Let a slot's worker end for good, while all others continue; its watcher then forgets the slot."""
        with self._lock:
            self._leaving[slot].set()
            processes = [self._processes[slot]] if slot in self._processes else []
        threading.Thread(target=_end, args=[processes], name=f"end {slot.name}").start()

    def _forget_if_removed(self, slot: Slot) -> None:
        """Remove the slot from the list of workers, unless all of them stop."""
        if self._stopping.is_set():
            return
        with self._lock:
            self._slots.remove(slot)
            del self._leaving[slot], self._states[slot]
            self._write_states()
        self._report(f"{slot.name} is stopped for good")

    def _end_all(self) -> None:
        with self._lock:
            running = list(self._processes.values())
        _end(running)

    def _end_hung(self) -> None:
        with self._lock:
            running = list(self._processes.items())
        for slot, process in self._hung_workers.hung(running):
            self._report(f"{slot.name} hung and is killed; see {self._log(slot)}")
            kill_with_stacks(process)

    def _restart_requested(self, requests: RestartRequests) -> None:
        with self._lock:
            running = dict(self._processes)
        without_process = requests.handle(running)
        with self._lock:
            self._revived |= without_process

    def _await_revival(self, slot: Slot) -> bool:
        """Return True when a restart of this slot, which was given up, is requested; False when it is to end."""
        with self._lock:
            # A request before it was given up is met: the worker was waiting for its restart then.
            self._revived.discard(slot.name)
        while not self._leaving[slot].wait(CHECK_EVERY_S):
            with self._lock:
                if slot.name in self._revived:
                    self._revived.discard(slot.name)
                    return True
        return False

    def _watch(self, slot: Slot) -> None:
        restarts = RestartPolicy()
        leaving = self._leaving[slot]
        while not leaving.is_set():
            started = time.monotonic()
            exit_code = self._run_worker(slot, restarts)
            if leaving.is_set():
                break
            delay_s = restarts.delay_after(exit_code, time.monotonic() - started)
            self._save_state(slot, "given-up" if delay_s is None else "waiting", None, restarts, exit_code)
            if delay_s is None:
                self._report(f"{slot.name} is given up (exit code {exit_code}); see {self._log(slot)}")
                if self._all_given_up():
                    self.stop()
                if not self._await_revival(slot):
                    self._forget_if_removed(slot)
                    return
                restarts.begin_again()
                continue
            self._report(f"{slot.name} ended with exit code {exit_code}; it is restarted in {delay_s:.1f} s")
            leaving.wait(delay_s)
        self._save_state(slot, "stopped", None, restarts, None)
        self._forget_if_removed(slot)

    def _run_worker(self, slot: Slot, restarts: RestartPolicy) -> int:
        """Start a worker, wait until it ends, and return its exit code."""
        log = self._log(slot)
        _rotate(log)
        generation = installed_generation()
        with self._lock:
            if self._leaving[slot].is_set():
                return 0
            self._generations[slot] = generation
            process = self._processes[slot] = self._prewarmed.assign(slot, log, generation) or _start_cold(
                slot, log
            )
        self._prewarmed.postpone()
        self._save_state(slot, "running", process.pid, restarts, None)
        self._report(f"{slot.name} runs (pid {process.pid})")
        exit_code = process.wait()
        with self._lock:
            del self._processes[slot]
        return exit_code

    def _all_given_up(self) -> bool:
        with self._lock:
            states = [self._states[slot].state for slot in self._slots if slot in self._states]
        return len(states) == len(self._slots) and all(state == "given-up" for state in states)

    def _save_state(
        self, slot: Slot, state: str, pid: int | None, restarts: RestartPolicy, code: int | None
    ) -> None:
        with self._lock:
            generation = self._generations.get(slot, "")
            self._states[slot] = WorkerState(
                slot.step, slot.number, state, pid, restarts.total, code, generation
            )
            self._write_states()

    def _write_states(self) -> None:
        """Write the state of each worker to the file; the caller has the lock."""
        me = psutil.Process()
        workers = [asdict(self._states[slot]) for slot in self._slots if slot in self._states]
        document = {"pid": me.pid, "started": me.create_time(), "workers": workers}
        write_json(_state_file(self._installation), document)

    def _log(self, slot: Slot) -> Path:
        return self._installation.logs_folder / f"{slot.name}.log"


def running_supervisor(installation: Installation) -> RunningSupervisor | None:
    """Return the supervisor that runs in this installation, or None.

    A pid that another program has now is recognised by its start time.
    """
    try:
        document = orjson.loads(_state_file(installation).read_bytes())
        alive = psutil.Process(document["pid"]).create_time() == document["started"]
    except (OSError, psutil.NoSuchProcess):
        return None
    workers = tuple(WorkerState(**worker) for worker in document["workers"])
    return RunningSupervisor(document["pid"], workers) if alive else None


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Send SIGTERM to processes; kill those that have not ended after STOP_TIMEOUT_S."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_with_stacks(process)


def _start_cold(slot: Slot, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infra.run", slot.step, str(slot.number)]
    with log.open("ab") as output:
        # A process group of its own: Ctrl-C at the terminal reaches only the supervisor, which then stops the workers.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )


def _start_prewarmed(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0)


def _state_file(installation: Installation) -> Path:
    return installation.run_folder / "workers.json"


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".previous.log"))


def main() -> int:
    """Run the supervisor until SIGTERM or SIGINT, and return an exit code: 0 after a signal."""
    log = structlog.get_logger()
    _, _, workers, *steps = sys.argv
    installation = Installation.of_settings()
    supervisor = Supervisor(installation, slots(steps, int(workers)), log.info)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        return 0 if supervisor.run() else 1
    except OperatorError as error:
        log.warning(str(error))
        return error.code


if __name__ == "__main__":
    sys.exit(main())
