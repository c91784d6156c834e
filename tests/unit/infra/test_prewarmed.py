"""A spare becomes the worker that it is told to be; where there is none, the supervisor goes without."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from infra.run import prewarmed
from infra.run.prewarmed import PrewarmedWorker
from infra.run.slots import Slot

#: A worker's code where it finds no servers: it has come as far as it can here.
NO_SERVERS = 10
TIMEOUT_S = 60.0


@pytest.fixture
def begun() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every spare of a test; none is left behind."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


@pytest.fixture
def begin(
    begun: list[subprocess.Popen[bytes]], tmp_path: Path
) -> Callable[[Sequence[str]], subprocess.Popen[bytes]]:
    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = {"MESH_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        begun.append(
            subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        )
        return begun[-1]

    return start


Begin = Callable[[Sequence[str]], subprocess.Popen[bytes]]


@pytest.fixture
def spares(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> PrewarmedWorker:
    """With a spare as soon as one may be made."""
    monkeypatch.setattr(prewarmed, "AFTER_S", 0.0)
    made = PrewarmedWorker(begin)
    made.keep()
    return made


def test_a_spare_is_the_slots_worker_once_it_is_told(spares: PrewarmedWorker, tmp_path: Path) -> None:
    """It writes to the slot's log, after what stands there, and ends with a worker's code."""
    log = tmp_path / "household.1.log"
    log.write_text("before\n", "utf-8")
    worker = spares.take(Slot("household", 1), log)
    assert worker is not None
    assert worker.wait(TIMEOUT_S) == NO_SERVERS
    first, *lines = log.read_text("utf-8").splitlines()
    assert first == "before"
    assert '"step": "household", "slot": 1' in lines[0]
    assert '"worker.no-servers"' in lines[0]


def test_a_spare_is_taken_once(
    spares: PrewarmedWorker, begun: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Who comes second starts cold; the next is made when none is there, and not before."""
    spares.keep()
    assert len(begun) == 1
    assert spares.take(Slot("household", 0), tmp_path / "a.log") is begun[0]
    assert spares.take(Slot("household", 1), tmp_path / "b.log") is None
    spares.keep()
    assert len(begun) == 2


def test_none_is_made_while_workers_start(begin: Begin, begun: list[subprocess.Popen[bytes]]) -> None:
    """Loading takes what they need."""
    made = PrewarmedWorker(begin)
    made.started()
    made.keep()
    assert begun == []


def test_a_spare_that_died_is_none(
    spares: PrewarmedWorker, begun: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """A worker starts cold then, and another spare is made."""
    begun[0].kill()
    begun[0].wait()
    assert spares.take(Slot("household", 0), tmp_path / "a.log") is None
    spares.keep()
    assert len(begun) == 2


def test_the_tracker_starts_cold(spares: PrewarmedWorker, tmp_path: Path) -> None:
    """Its libraries are its own."""
    assert spares.take(Slot("tracker", 0), tmp_path / "a.log") is None


def test_a_spare_ends_with_its_supervisor(
    spares: PrewarmedWorker, begun: list[subprocess.Popen[bytes]]
) -> None:
    """Told nothing any more, it has nothing to wait for; so it is where the supervisor was killed."""
    assert begun[0].stdin is not None
    begun[0].stdin.close()
    assert begun[0].wait(TIMEOUT_S) == 0
    spares.keep()
    spares.end()
    assert begun[1].poll() is not None
    spares.keep()
    assert len(begun) == 2
