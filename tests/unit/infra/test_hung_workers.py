"""A hung worker is detected by its heartbeat, writes the stacks of its threads to its log, and is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from infra.apply.installation import Installation
from infra.run import hung_workers, supervisor
from infra.run.hung_workers import HUNG_AFTER_S, HungWorkerDetector, kill_with_stacks
from infra.run.prewarmed import PrewarmedWorker
from infra.run.slots import Slot
from infra.run.supervisor import Supervisor
from infra.run.worker import heartbeat_file

SLOT = Slot("household", 0)
#: The first process writes one heartbeat and hangs; the second one writes heartbeats regularly.
HUNG_FIRST = """
import faulthandler, json, os, pathlib, signal, sys, time
faulthandler.register(signal.SIGUSR1)
heartbeat, started_before = map(pathlib.Path, sys.argv[1:])
beat = lambda at: heartbeat.write_text(json.dumps({"pid": os.getpid(), "state": "running", "at": at}))
beat(0)
def hangs_here():
    time.sleep(60)
if not started_before.exists():
    started_before.touch()
    hangs_here()
while True:
    beat(time.time())
    time.sleep(0.05)
"""
IGNORES_SIGTERM = """
import faulthandler, signal, sys, time
faulthandler.register(signal.SIGUSR1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
def hangs_here():
    time.sleep(60)
hangs_here()
"""


def start_hung(log: Path) -> subprocess.Popen[bytes]:
    """Start a process that hangs and ignores SIGTERM, and return when it is ready."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", IGNORES_SIGTERM], stdout=subprocess.PIPE, stderr=stderr
        )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def test_a_worker_whose_heartbeat_stops_is_hung(tmp_path: Path) -> None:
    """By the supervisor's clock; not one that has just started, or whose file an earlier process wrote."""
    now, process = [0.0], start_hung(tmp_path / "log")
    installation = Installation(tmp_path)
    installation.run_folder.mkdir(parents=True)
    detector = HungWorkerDetector(installation, lambda: now[0])

    def is_hung_after(seconds: float, heartbeat_at: float | None, pid: int = process.pid) -> bool:
        now[0] += seconds
        if heartbeat_at is not None:
            heartbeat_file(installation, SLOT).write_bytes(
                orjson.dumps({"pid": pid, "state": "running", "at": heartbeat_at})
            )
        return bool(detector.hung([(SLOT, process)]))

    assert not is_hung_after(HUNG_AFTER_S + 1, None)
    assert not is_hung_after(1, 1.0, pid=1)
    assert not is_hung_after(HUNG_AFTER_S + 1, 1.0, pid=1)
    assert not is_hung_after(1, 2.0)
    assert not is_hung_after(HUNG_AFTER_S - 1, None)
    assert not is_hung_after(2, 1_000_000.0)
    assert not is_hung_after(HUNG_AFTER_S, None)
    assert is_hung_after(1, None)
    kill_with_stacks(process)
    assert process.wait(10) == -signal.SIGKILL
    assert "hangs_here" in (tmp_path / "log").read_text()


def test_a_supervisor_kills_and_restarts_a_hung_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's log has its stacks. The next worker, whose heartbeat changes, keeps running."""
    installation, started_before = Installation(tmp_path), tmp_path / "started-before"
    heartbeat = heartbeat_file(installation, SLOT)

    def start(slot: Slot, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", HUNG_FIRST, heartbeat, started_before], stdout=output, stderr=output
            )

    monkeypatch.setattr(supervisor, "_start_cold", start)
    for method in ("ensure", "postpone", "stop"):
        monkeypatch.setattr(PrewarmedWorker, method, lambda self: None)
    monkeypatch.setattr(PrewarmedWorker, "assign", lambda self, slot, log, generation: None)
    monkeypatch.setattr(hung_workers, "HUNG_AFTER_S", 2.0)
    lines: list[str] = []
    supervising = Supervisor(installation, [SLOT], lines.append)
    thread = threading.Thread(target=supervising.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while sum("runs" in line for line in lines) < 2:
            assert time.monotonic() < deadline, lines
            time.sleep(0.05)
        time.sleep(3)
    finally:
        supervising.stop()
        thread.join(30)
    assert sum("hung" in line for line in lines) == 1
    assert sum("runs" in line for line in lines) == 2
    assert "hangs_here" in (installation.logs_folder / f"{SLOT.name}.log").read_text()
