"""A worker that hangs is found by its heartbeat, says where it stands, and is killed."""

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
from infra.run.hung_workers import HANGS_AFTER_S, HungWorkerDetector, end_by_force
from infra.run.prewarmed import PrewarmedWorker
from infra.run.slots import Slot
from infra.run.supervisor import Supervisor
from infra.run.worker import heartbeat_file

SLOT = Slot("household", 0)
#: Says once that it lives, and hangs; the one after it says so again and again.
HANGING_FIRST = """
import faulthandler, json, os, pathlib, signal, sys, time
faulthandler.register(signal.SIGUSR1)
heartbeat, mark = map(pathlib.Path, sys.argv[1:])
told = lambda at: heartbeat.write_text(json.dumps({"pid": os.getpid(), "state": "running", "at": at}))
told(0)
def hangs_here():
    time.sleep(60)
if not mark.exists():
    mark.touch()
    hangs_here()
while True:
    told(time.time())
    time.sleep(0.05)
"""
STUBBORN = """
import faulthandler, signal, sys, time
faulthandler.register(signal.SIGUSR1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
def hangs_here():
    time.sleep(60)
hangs_here()
"""


def stubborn(log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        started = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, stderr=stderr)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    started.stdout.close()
    return started


def test_who_says_nothing_for_longer_than_any_turn_hangs(tmp_path: Path) -> None:
    """By our own clock; not who goes on, who has only just been started, or of whom only the one before has spoken."""
    now, process = [0.0], stubborn(tmp_path / "log")
    installation = Installation(tmp_path)
    installation.run.mkdir(parents=True)
    hanging = HungWorkerDetector(installation, lambda: now[0])

    def after(seconds: float, at: float | None, pid: int = process.pid) -> bool:
        now[0] += seconds
        if at is not None:
            heartbeat_file(installation, SLOT).write_bytes(
                orjson.dumps({"pid": pid, "state": "running", "at": at})
            )
        return bool(hanging.found([(SLOT, process)]))

    assert not after(HANGS_AFTER_S + 1, None)
    assert not after(1, 1.0, pid=1)
    assert not after(HANGS_AFTER_S + 1, 1.0, pid=1)
    assert not after(1, 2.0)
    assert not after(HANGS_AFTER_S - 1, None)
    assert not after(2, 1_000_000.0)
    assert not after(HANGS_AFTER_S, None)
    assert after(1, None)
    end_by_force(process)
    assert process.wait(10) == -signal.SIGKILL
    assert "hangs_here" in (tmp_path / "log").read_text()


def test_a_supervisor_ends_who_hangs_and_starts_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log says where it stood; the next one, which goes on, is let be."""
    installation, mark = Installation(tmp_path), tmp_path / "mark"
    heartbeat = heartbeat_file(installation, SLOT)

    def start(slot: Slot, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", HANGING_FIRST, heartbeat, mark], stdout=output, stderr=output
            )

    monkeypatch.setattr(supervisor, "_cold", start)
    for call in ("keep", "started", "end"):
        monkeypatch.setattr(PrewarmedWorker, call, lambda self: None)
    monkeypatch.setattr(PrewarmedWorker, "take", lambda self, slot, log: None)
    monkeypatch.setattr(hung_workers, "HANGS_AFTER_S", 2.0)
    told: list[str] = []
    supervising = Supervisor(installation, [SLOT], told.append)
    thread = threading.Thread(target=supervising.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while sum("runs" in line for line in told) < 2:
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        time.sleep(3)
    finally:
        supervising.stop()
        thread.join(30)
    assert sum("hangs" in line for line in told) == 1
    assert sum("runs" in line for line in told) == 2
    assert "hangs_here" in (installation.logs / f"{SLOT.name}.log").read_text()
