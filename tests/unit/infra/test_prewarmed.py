"""A prewarmed process becomes the worker of a slot; without one, the supervisor starts workers cold."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from infra.run import prewarmed
from infra.run.prewarmed import PrewarmedWorker
from infra.run.slots import Slot

#: A worker's exit code without servers, which is as far as a worker gets in these tests.
NO_SERVERS = 10
TIMEOUT_S = 60.0

StartProcess = Callable[[Sequence[str]], subprocess.Popen[bytes]]
Processes = list[subprocess.Popen[bytes]]


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Yield the list of processes that a test starts; kill them at its end."""
    processes: Processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


@pytest.fixture
def start_process(processes: Processes, tmp_path: Path) -> StartProcess:
    """Return a function that starts a process in a MESH_HOME without servers."""

    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = {"MESH_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        processes.append(
            subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        )
        return processes[-1]

    return start


@pytest.fixture
def prewarmed_worker(start_process: StartProcess, monkeypatch: pytest.MonkeyPatch) -> PrewarmedWorker:
    """Return a prewarmed worker whose process is started without delay."""
    monkeypatch.setattr(prewarmed, "IDLE_BEFORE_PREWARM_S", 0.0)
    worker = PrewarmedWorker(start_process)
    worker.ensure()
    return worker


def test_a_prewarmed_process_becomes_the_worker_of_its_slot(
    prewarmed_worker: PrewarmedWorker, tmp_path: Path
) -> None:
    """It appends to the slot's log and ends with a worker's exit code."""
    log = tmp_path / "household.1.log"
    log.write_text("before\n", "utf-8")
    worker = prewarmed_worker.assign(Slot("household", 1), log)
    assert worker is not None
    assert worker.wait(TIMEOUT_S) == NO_SERVERS
    first, *lines = log.read_text("utf-8").splitlines()
    assert first == "before"
    assert '"step": "household", "slot": 1' in lines[0]
    assert '"worker.no-servers"' in lines[0]


def test_a_prewarmed_process_is_assigned_once(
    prewarmed_worker: PrewarmedWorker, processes: Processes, tmp_path: Path
) -> None:
    """The next slot gets none. A new process is started only when there is none."""
    prewarmed_worker.ensure()
    assert len(processes) == 1
    assert prewarmed_worker.assign(Slot("household", 0), tmp_path / "a.log") is processes[0]
    assert prewarmed_worker.assign(Slot("household", 1), tmp_path / "b.log") is None
    prewarmed_worker.ensure()
    assert len(processes) == 2


def test_no_process_is_prewarmed_while_workers_start(
    start_process: StartProcess, processes: Processes
) -> None:
    """Loading would take the CPU that starting workers need."""
    worker = PrewarmedWorker(start_process)
    worker.postpone()
    worker.ensure()
    assert processes == []


def test_a_dead_prewarmed_process_is_replaced(
    prewarmed_worker: PrewarmedWorker, processes: Processes, tmp_path: Path
) -> None:
    """It is not assigned, and another one is started."""
    processes[0].kill()
    processes[0].wait()
    assert prewarmed_worker.assign(Slot("household", 0), tmp_path / "a.log") is None
    prewarmed_worker.ensure()
    assert len(processes) == 2


def test_the_tracker_gets_no_prewarmed_process(prewarmed_worker: PrewarmedWorker, tmp_path: Path) -> None:
    """Its libraries are not loaded in a prewarmed process."""
    assert prewarmed_worker.assign(Slot("tracker", 0), tmp_path / "a.log") is None


def test_a_prewarmed_process_ends_with_its_supervisor(
    prewarmed_worker: PrewarmedWorker, processes: Processes
) -> None:
    """It ends when its standard input is closed, as by a killed supervisor, and when it is stopped."""
    assert processes[0].stdin is not None
    processes[0].stdin.close()
    assert processes[0].wait(TIMEOUT_S) == 0
    prewarmed_worker.ensure()
    prewarmed_worker.stop()
    assert processes[1].poll() is not None
    prewarmed_worker.ensure()
    assert len(processes) == 2


def test_a_process_with_the_code_of_before_is_ended(
    start_process: StartProcess, processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has loaded it already. The next one has the code that is installed then."""
    monkeypatch.setattr(prewarmed, "IDLE_BEFORE_PREWARM_S", 0.0)
    installed = ["before"]
    worker = PrewarmedWorker(start_process, lambda: installed[0])
    worker.ensure()
    installed[0] = "now"
    assert worker.assign(Slot("household", 0), tmp_path / "a.log") is None
    assert processes[0].poll() is not None
    worker.ensure()
    assert worker.assign(Slot("household", 0), tmp_path / "a.log", "now") is processes[1]
