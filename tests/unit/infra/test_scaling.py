"""A running supervisor starts and stops workers on request, and does on SIGTERM what the documents say."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.apply.installation import Installation
from infra.run import supervisor
from infra.run.prewarmed import PrewarmedWorker
from infra.run.scaling import request_slots, take_request
from infra.run.slots import Slot, slots
from infra.run.supervisor import RunningSupervisor, Supervisor, running_supervisor

DEADLINE_S = 30.0
#: Ends with code 0 on SIGTERM, as a worker does, and leaves a file.
WORKER = """
import pathlib, signal, sys
def stop(*_):
    pathlib.Path(sys.argv[1]).touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    signal.pause()
"""
#: Ends at once with the code after which an operator must act.
GIVEN_UP = "import sys; sys.exit(15)"


class SupervisedWorkers:
    """A supervisor in a thread, with workers that are small programs."""

    def __init__(self, installation: Installation, steps: list[str]) -> None:
        self.installation = installation
        self.lines: list[str] = []
        self.supervisor = Supervisor(installation, slots(steps, 1), self.lines.append)
        self.result: list[bool] = []
        self.thread = threading.Thread(target=lambda: self.result.append(self.supervisor.run()))

    @property
    def running(self) -> RunningSupervisor | None:
        """The supervisor as other processes see it."""
        with contextlib.suppress(FileNotFoundError):
            return running_supervisor(self.installation)
        return None

    def names(self) -> list[str]:
        """Return the names of the workers that run."""
        workers = self.running.workers if self.running else ()
        return sorted(f"{w.step}.{w.slot}" for w in workers if w.state == "running")

    def pid(self, name: str) -> int:
        """Return the process of a worker."""
        assert self.running
        return next(w.pid or 0 for w in self.running.workers if f"{w.step}.{w.slot}" == name)

    def request(self, steps: list[str], workers: int) -> None:
        """Request so many workers of these steps."""
        request_slots(self.installation, os.getpid(), slots(steps, workers))


def until(description: str, condition: Callable[[], object]) -> None:
    """Return when the condition is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, description
        time.sleep(0.02)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the programs of slots by name; all others run WORKER. Make every start a cold one."""
    by_name: dict[str, str] = {}

    def start(slot: Slot, log: Path) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-c",
            by_name.get(slot.name, WORKER),
            str(tmp_path / f"{slot.name}.stopped"),
        ]
        with log.open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    monkeypatch.setattr(supervisor, "_start_cold", start)
    monkeypatch.setattr(supervisor, "CHECK_EVERY_S", 0.05)
    for method in ("ensure", "postpone", "stop"):
        monkeypatch.setattr(PrewarmedWorker, method, lambda self: None)
    monkeypatch.setattr(PrewarmedWorker, "assign", lambda self, slot, log, generation: None)
    return by_name


@pytest.fixture
def two_steps(tmp_path: Path, programs: dict[str, str]) -> Iterator[SupervisedWorkers]:
    """Yield a supervisor with one worker of two steps, all ready; stop it afterwards."""
    supervised = SupervisedWorkers(Installation(tmp_path), ["intake", "household"])
    supervised.thread.start()
    try:
        until("both run", lambda: supervised.names() == ["household.0", "intake.0"])
        until(
            "both are ready", lambda: is_ready(supervised, "intake.0") and is_ready(supervised, "household.0")
        )
        yield supervised
    finally:
        supervised.supervisor.stop()
        supervised.thread.join(DEADLINE_S)


def is_ready(supervised: SupervisedWorkers, name: str, times: int = 1) -> bool:
    """Return whether a worker's processes have installed their signal handlers so many times."""
    log = supervised.installation.logs_folder / f"{name}.log"
    return log.read_bytes().count(b"ready") >= times


def test_workers_are_added_and_removed_while_others_continue(
    two_steps: SupervisedWorkers, tmp_path: Path
) -> None:
    """The added ones run; the removed ones get SIGTERM and are no longer listed; the others keep their processes."""
    kept = two_steps.pid("intake.0")
    two_steps.request(["intake", "household"], 3)
    until("six run", lambda: len(two_steps.names()) == 6)
    until("they are ready", lambda: all(is_ready(two_steps, name) for name in two_steps.names()))
    two_steps.request(["intake", "household"], 1)
    until("two are left", lambda: two_steps.running and len(two_steps.running.workers) == 2)
    assert two_steps.names() == ["household.0", "intake.0"]
    assert two_steps.pid("intake.0") == kept
    stopped = {path.stem for path in tmp_path.glob("*.stopped")}
    assert stopped == {"intake.1", "intake.2", "household.1", "household.2"}
    two_steps.request(["intake", "household"], 2)
    until("a removed one runs again", lambda: len(two_steps.names()) == 4)


def test_a_worker_that_was_given_up_is_removed_too(
    two_steps: SupervisedWorkers, programs: dict[str, str]
) -> None:
    """And starts again when it is requested again."""
    programs["household.1"] = GIVEN_UP
    two_steps.request(["intake", "household"], 2)
    until("it is given up", lambda: any("household.1 is given up" in line for line in two_steps.lines))
    two_steps.request(["intake", "household"], 1)
    until("it is removed", lambda: two_steps.running and len(two_steps.running.workers) == 2)
    del programs["household.1"]
    two_steps.request(["intake", "household"], 2)
    until("it runs", lambda: "household.1" in two_steps.names())


def test_a_request_is_for_one_supervisor(tmp_path: Path) -> None:
    """The next supervisor of the installation runs what it was started with."""
    installation = Installation(tmp_path)
    installation.run_folder.mkdir(parents=True)
    request_slots(installation, 1, [Slot("intake", 0)])
    assert take_request(installation, 2) is None
    request_slots(installation, 2, [Slot("intake", 0)])
    assert take_request(installation, 2) == [Slot("intake", 0)]
    assert take_request(installation, 2) is None


def test_a_stop_ends_workers_that_are_being_added_and_removed(two_steps: SupervisedWorkers) -> None:
    """No process is left, whenever it comes."""
    two_steps.request(["intake", "household"], 8)
    until("some run", lambda: len(two_steps.names()) > 4)
    two_steps.request(["intake"], 1)
    two_steps.supervisor.stop()
    two_steps.thread.join(DEADLINE_S)
    assert two_steps.result == [True]
    assert not [command for command in commands_of_children() if "signal.pause" in command]


def commands_of_children() -> list[str]:
    """Return the command lines of the child processes that have not ended."""
    commands = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # A zombie is one: it has ended.
            commands.append(" ".join(child.cmdline()))
    return commands


def test_a_worker_that_gets_sigterm_is_restarted(two_steps: SupervisedWorkers) -> None:
    """It ends with code 0, and the supervisor starts the next process of its slot."""
    before = two_steps.pid("household.0")
    os.kill(before, signal.SIGTERM)
    until("it runs again", lambda: is_ready(two_steps, "household.0", 2))
    assert any("household.0 ended with exit code 0; it is restarted" in line for line in two_steps.lines)
    assert two_steps.pid("household.0") != before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_that_gets_a_signal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    """Its exit code is 0, no process of it is left, and no workers are listed; without servers too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MESH_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.run.supervisor", "test", "1", "household", "tracker"],
        env=environment | {"MESH_HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    installation = Installation(tmp_path)
    until("both workers were started", lambda: len(_workers(installation)) == 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 0
    assert not psutil.wait_procs(children, DEADLINE_S)[1]
    assert running_supervisor(installation) is None


def _workers(installation: Installation) -> tuple[object, ...]:
    running = running_supervisor(installation)
    return running.workers if running else ()
