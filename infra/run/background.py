"""The supervisor in the background: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

import psutil
from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.local.process import Server
from infra.monitoring.groups import ready
from infra.run.slots import Slot, slots
from infra.run.supervisor import STOP_TIMEOUT_S, Supervised, supervised

START_TIMEOUT_S = 15.0
READY_TIMEOUT_S = 120.0
POLL_S = 0.05


def start(installation: Installation, steps: Sequence[str], workers: int) -> None:
    """Have workers running in the background. OperatorError where others run here already, or none comes up."""
    if supervised(installation):
        raise OperatorError("workers are running here already: `mesh status`, `mesh down`")
    installation.run.mkdir(parents=True, exist_ok=True)
    installation.logs.mkdir(parents=True, exist_ok=True)
    server = _server(installation)
    command = [sys.executable, "-m", "infra.run.supervise", server.cmdline_tag, str(workers), *steps]
    server.start(command, installation.folder)
    server.wait_ready(lambda: supervised(installation) is not None, START_TIMEOUT_S)


def stop(installation: Installation) -> Supervised | None:
    """Stop the workers, wherever they were started; what ran, or None. Returns when they are gone."""
    found = supervised(installation)
    if found is None:
        return None
    try:
        process = psutil.Process(found.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_TIMEOUT_S + 5.0)
    except psutil.NoSuchProcess:
        return found
    except psutil.TimeoutExpired:
        process.kill()
    return found


def wait_ready(
    installation: Installation,
    slots: Sequence[Slot],
    is_ready: Callable[[], bool],
    timeout_s: float,
) -> None:
    """Return when every slot runs and `is_ready` says so. OperatorError where a worker is given up, or too late."""
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        found = supervised(installation)
        given_up = [w for w in found.workers if w.state == "given-up"] if found else []
        if found is None or given_up:
            names = ", ".join(Slot(w.step, w.slot).name for w in given_up) or "the supervisor"
            raise OperatorError(f"{names} ended; see {installation.logs}", code=1)
        if time.monotonic() > deadline:
            raise OperatorError(f"workers are not ready after {timeout_s:.0f} s; see `mesh status`", code=1)
        time.sleep(POLL_S)


def _server(installation: Installation) -> Server:
    settings = {name: value for name, value in os.environ.items() if name.startswith("MESH_")}
    return Server(
        "the supervisor",
        f"--mesh-workers={installation.folder}",
        installation.logs / "supervisor.log",
        installation.run / "supervisor",
        environment={**settings, "MESH_HOME": str(installation.folder)},
    )


def start_workers(
    environment: Environment, installation: Installation, workers: int = 1, steps: tuple[str, ...] = ()
) -> None:
    """Have workers running in the background, those of before where some are; return when all are in their groups."""
    found = supervised(installation)
    if found is None:
        start(installation, steps, workers)
    chosen = found.slots if found else slots(steps, workers)
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    wait_ready(installation, chosen, lambda: ready(admin, chosen), READY_TIMEOUT_S)
