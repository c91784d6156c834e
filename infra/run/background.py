"""The supervisor as a background process: start it, wait until its workers are ready, stop it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.local.process import Server
from infra.monitoring.groups import all_joined
from infra.run.given_up import given_up_workers
from infra.run.group_leave import leave_groups
from infra.run.scaling import request_slots
from infra.run.slots import Slot, slots
from infra.run.supervisor import STOP_TIMEOUT_S, RunningSupervisor, running_supervisor

START_TIMEOUT_S = 15.0
READY_TIMEOUT_S = 120.0
#: A worker is killed if it has not ended after STOP_TIMEOUT_S.
SCALE_TIMEOUT_S = STOP_TIMEOUT_S + 15.0
POLL_S = 0.05


def start(installation: Installation, steps: Sequence[str], workers: int) -> None:
    """Start a supervisor in the background. Raise OperatorError where one runs already, StartError if it fails."""
    if running_supervisor(installation):
        raise OperatorError("workers are running here already: `mesh status`, `mesh down`")
    installation.run_folder.mkdir(parents=True, exist_ok=True)
    installation.logs_folder.mkdir(parents=True, exist_ok=True)
    server = _server(installation)
    command = [sys.executable, "-m", "infra.run.supervisor", server.cmdline_tag, str(workers), *steps]
    server.start(command, installation.folder)
    server.wait_ready(lambda: running_supervisor(installation) is not None, START_TIMEOUT_S)


def stop(installation: Installation) -> RunningSupervisor | None:
    """Stop the supervisor and its workers, however they were started; return what ran, or None."""
    running = running_supervisor(installation)
    if running is None:
        return None
    try:
        process = psutil.Process(running.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_TIMEOUT_S + 5.0)
    except psutil.NoSuchProcess:
        return running
    except psutil.TimeoutExpired:
        process.kill()
    return running


def wait_ready(
    installation: Installation,
    slots: Sequence[Slot],
    is_ready: Callable[[], bool],
    timeout_s: float,
) -> None:
    """Return when `is_ready` returns True.

    Raise OperatorError (code 1) where a worker or a sink is given up, the supervisor ends, or the timeout passes.
    """
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        running = running_supervisor(installation)
        given_up = given_up_workers(installation, running)
        if running is None or given_up:
            names = ", ".join(map(str, given_up)) or "the supervisor"
            raise OperatorError(f"{names} ended; see the logs in {installation.logs_folder}", code=1)
        if time.monotonic() > deadline:
            raise OperatorError(f"workers are not ready after {timeout_s:.0f} s; see `mesh status`", code=1)
        time.sleep(POLL_S)


def start_workers(
    environment: Environment, installation: Installation, workers: int = 1, steps: tuple[str, ...] = ()
) -> None:
    """Start workers in the background unless some run already, and return when all have joined their groups."""
    running = running_supervisor(installation)
    if running is None:
        start(installation, steps, workers)
    expected = running.slots if running else slots(steps, workers)
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    wait_ready(installation, expected, lambda: all_joined(admin, expected), READY_TIMEOUT_S)


@dataclass(frozen=True)
class ScaledWorkers:
    """The workers that were started and stopped, so that `workers` of each step run."""

    started: Sequence[Slot]
    stopped: Sequence[Slot]


def scale_workers(
    environment: Environment, installation: Installation, running: RunningSupervisor, workers: int
) -> ScaledWorkers:
    """Make a running supervisor run `workers` workers of each of its steps, and return what was started and stopped.

    The stopped ones finish their batch and leave their groups, so the others get their partitions at once. Raise
    OperatorError for an invalid number, and (code 1) where the supervisor doesn't do it in time.
    """
    requested = slots(list(dict.fromkeys(slot.step for slot in running.slots)), workers)
    scaled = ScaledWorkers(
        [slot for slot in requested if slot not in running.slots],
        [slot for slot in running.slots if slot not in requested],
    )
    if scaled.started or scaled.stopped:
        request_slots(installation, running.pid, requested)
        _wait_for_slots(installation, requested)
        leave_groups(environment, scaled.stopped)
    return scaled


def _wait_for_slots(installation: Installation, requested: Sequence[Slot]) -> None:
    """Return when the supervisor runs exactly these slots."""
    deadline = time.monotonic() + SCALE_TIMEOUT_S
    while (running := running_supervisor(installation)) is None or set(running.slots) != set(requested):
        if running is None or time.monotonic() > deadline:
            raise OperatorError(
                "the supervisor did not start and stop workers as requested; see `mesh status`, or run `mesh down` "
                "and `mesh up`",
                code=1,
            )
        time.sleep(POLL_S)


def _server(installation: Installation) -> Server:
    settings = {name: value for name, value in os.environ.items() if name.startswith("MESH_")}
    return Server(
        "the supervisor",
        f"--mesh-workers={installation.folder}",
        installation.logs_folder / "supervisor.log",
        installation.run_folder / "supervisor",
        environment={**settings, "MESH_HOME": str(installation.folder)},
    )
