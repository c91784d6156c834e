"""Worker processes, started as by the supervisor, and their CPU and memory."""

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
from infra.monitoring.groups import all_joined
from infra.monitoring.waiting import wait_idle
from infra.run.slots import Slot
from infra.run.worker import heartbeat_file
from schemas.systems import DOMAINS
from tests.bench.cluster import BenchCluster
from tests.bench.side import ROOT

STEPS: Final = ("intake", "household", "fan-out", "conversion", "sink")
#: Step -> number of first stages (in the order of `mesh wait`) that are idle once it has processed everything. Each
#: domain's sink is a stage.
IDLE_STAGES: Final = {"intake": 1, "household": 2, "fan-out": 3, "conversion": 4, "sink": 4 + len(DOMAINS)}
READY_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 30.0


class Workers:
    """Running workers by step, in slot 0 each."""

    def __init__(self, processes: dict[str, subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU of each worker since its start, with all threads."""
        times = {step: psutil.Process(process.pid).cpu_times() for step, process in self._processes.items()}
        return {step: cpu.user + cpu.system for step, cpu in times.items()}

    def memory_mb(self) -> dict[str, float]:
        """Return the memory (RSS) of each worker."""
        return {
            step: psutil.Process(process.pid).memory_info().rss / 1e6
            for step, process in self._processes.items()
        }


@contextmanager
def running_workers(cluster: BenchCluster, steps: Sequence[str] = STEPS) -> Iterator[Workers]:
    """Run a worker of each step during the context, which begins when all have joined and restored.

    Raise RuntimeError if a worker ends or READY_TIMEOUT_S passes before.
    """
    for folder in (cluster.installation.logs_folder, cluster.installation.run_folder):
        folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        heartbeat_file(cluster.installation, Slot(step, 0)).unlink(missing_ok=True)
    processes = {step: _start(cluster, step) for step in steps}
    try:
        admin = AdminClient({**cluster.environment.kafka(ADMIN), "log_level": 0})
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (all_joined(admin, [Slot(step, 0) for step in steps]) and _restored(cluster, steps)):
            if time.monotonic() > deadline or any(
                process.poll() is not None for process in processes.values()
            ):
                raise RuntimeError(f"workers of {', '.join(steps)} did not get ready")
        yield Workers(processes)
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(STOP_TIMEOUT_S)


def first_batch_s(cluster: BenchCluster, step: str) -> float:
    """Return the seconds from the start of a step's worker to its first committed batch, by its log.

    Records for the step must be waiting.
    """
    file = cluster.installation.logs_folder / f"{step}.0.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    log_size = file.stat().st_size if file.exists() else 0
    begun_s = time.time()
    with running_workers(cluster, [step]):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (commits := _commit_times(file, log_size)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker of {step} committed nothing in {READY_TIMEOUT_S:.0f} s")
            time.sleep(0.1)
        wait_idle(
            cluster.environment, cluster.installation, timeout_s=READY_TIMEOUT_S, first=IDLE_STAGES[step]
        )
    return datetime.fromisoformat(commits[0]).timestamp() - begun_s


def _commit_times(file: Path, start: int) -> list[str]:
    """Return the commit times in a log from byte `start` on; an incomplete last line is ignored."""
    lines = file.read_bytes()[start:].rpartition(b"\n")[0].splitlines()
    events = [orjson.loads(line) for line in lines if line.startswith(b"{")]
    return [event["timestamp"] for event in events if event.get("event") == "batch.committed"]


def _restored(cluster: BenchCluster, steps: Sequence[str]) -> bool:
    """Return whether all workers have restored their tasks; sinks have none."""
    files = [heartbeat_file(cluster.installation, Slot(step, 0)) for step in steps if step != "sink"]
    return all(file.exists() and orjson.loads(file.read_bytes())["state"] == "running" for file in files)


def _start(cluster: BenchCluster, step: str) -> subprocess.Popen[bytes]:
    with (cluster.installation.logs_folder / f"{step}.0.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.run", step, "0"], cwd=ROOT, stdout=log, stderr=log
        )
