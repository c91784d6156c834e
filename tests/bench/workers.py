"""Worker processes as a supervisor starts them, and the CPU they take."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson
import psutil
from confluent_kafka.admin import AdminClient

from infra.local.kafka_server import ADMIN
from infra.monitoring.groups import ready
from infra.monitoring.waiting import wait_idle
from infra.run.slots import Slot
from infra.run.worker import heartbeat_file
from tests.bench.cluster import BenchCluster
from tests.bench.side import ROOT

STEPS: Final = ("intake", "household", "fan-out", "conversion", "sink")
#: How many stages of a notice's way (`mesh wait`) are done after each: the sinks of all domains are seven.
STAGES: Final = {"intake": 1, "household": 2, "fan-out": 3, "conversion": 4, "sink": 11}
READY_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 30.0


class Workers:
    """Processes by step; each is a slot's first."""

    def __init__(self, processes: dict[str, subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def cpu_s(self) -> dict[str, float]:
        """CPU of each since its start, all its threads."""
        found = {step: psutil.Process(each.pid).cpu_times() for step, each in self._processes.items()}
        return {step: times.user + times.system for step, times in found.items()}

    def memory_mb(self) -> dict[str, float]:
        """Memory (RSS) of each."""
        found = {step: psutil.Process(each.pid).memory_info().rss for step, each in self._processes.items()}
        return {step: rss / 1e6 for step, rss in found.items()}


@contextmanager
def running(place: BenchCluster, steps: Sequence[str] = STEPS) -> Iterator[Workers]:
    """Workers of these steps for as long as it lasts; all are members of their groups."""
    for folder in (place.installation.logs, place.installation.run):
        folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        heartbeat_file(place.installation, Slot(step, 0)).unlink(missing_ok=True)
    processes = {step: _started(place, step) for step in steps}
    try:
        admin = AdminClient({**place.environment.kafka(ADMIN), "log_level": 0})
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (ready(admin, [Slot(step, 0) for step in steps]) and _restored(place, steps)):
            if time.monotonic() > deadline or any(each.poll() is not None for each in processes.values()):
                raise RuntimeError(f"workers of {', '.join(steps)} did not come up")
        yield Workers(processes)
    finally:
        for each in processes.values():
            each.send_signal(signal.SIGTERM)
        for each in processes.values():
            each.wait(STOP_TIMEOUT_S)


def first_batch_s(place: BenchCluster, step: str) -> float:
    """From the start of a step's worker to its first committed batch, as its log has it: records must be waiting."""
    file = place.installation.logs / f"{step}.0.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    told_before = file.stat().st_size if file.exists() else 0
    begun_s = time.time()
    with running(place, [step]):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (committed := _committed(file, told_before)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{step} committed nothing")
            time.sleep(0.1)
        wait_idle(place.environment, place.installation, timeout_s=READY_TIMEOUT_S, first=STAGES[step])
    return datetime.fromisoformat(committed[0]).timestamp() - begun_s


def _committed(file: Path, beyond: int) -> list[str]:
    """When each batch was committed, of those told beyond this size of the log; a last line may be half written."""
    lines = file.read_bytes()[beyond:].rpartition(b"\n")[0].splitlines()
    told = [orjson.loads(line) for line in lines if line.startswith(b"{")]
    return [each["timestamp"] for each in told if each.get("event") == "batch.committed"]


def _restored(place: BenchCluster, steps: Sequence[str]) -> bool:
    """Whether no worker is still reading what is kept of its partitions; sinks keep nothing."""
    files = [heartbeat_file(place.installation, Slot(step, 0)) for step in steps if step != "sink"]
    return all(file.exists() and orjson.loads(file.read_bytes())["state"] == "running" for file in files)


def _started(place: BenchCluster, step: str) -> subprocess.Popen[bytes]:
    with (place.installation.logs / f"{step}.0.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.run", step, "0"], cwd=ROOT, stdout=log, stderr=log
        )
