"""Servers that tests stop and freeze, and workers that they start one by one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from infra.local import kafka_server, postgres_server, registry_server
from tests.integration.cluster import IntegrationCluster, selected

READY_S = 60.0


@dataclass(frozen=True)
class StartedWorker:
    """A worker's process, log file and heartbeat file."""

    process: subprocess.Popen[bytes]
    log: Path
    heartbeat: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event. librdkafka's own lines aren't JSON; the last line may be incomplete."""
        *complete, _ = self.log.read_bytes().split(b"\n")
        lines = [line for line in complete if line.startswith(b"{")]
        return [line for line in map(orjson.loads, lines) if line["event"] == name]

    def wait_until(self, description: str, condition: Callable[[], object]) -> None:
        """Return when the condition is true; evaluate it 20 times per second, and when the worker ends."""
        deadline = time.monotonic() + READY_S
        while not condition():
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.process.wait(0.05)
                assert condition(), f"ended with {code} before {description}: {self.log.read_text()}"
            assert time.monotonic() < deadline, (
                f"not within {READY_S} s: {description}: {self.log.read_text()}"
            )

    def wait_for_event(self, event: str, count: int = 1) -> None:
        """Return when the log has `count` lines of an event."""
        self.wait_until(event, lambda: len(self.events(event)) >= count)

    @property
    def state(self) -> str:
        """The state in the heartbeat file; empty before the worker's first heartbeat."""
        with contextlib.suppress(FileNotFoundError):
            beat = orjson.loads(self.heartbeat.read_bytes())
            return str(beat["state"]) if beat["pid"] == self.process.pid else ""
        return ""

    def stop(self, within_s: float) -> int:
        """Send SIGTERM and return the exit code. Raise TimeoutExpired if the worker runs longer than `within_s`."""
        self.process.terminate()
        return self.process.wait(within_s)


StartWorker = Callable[..., StartedWorker]


@pytest.fixture(scope="module")
def cluster(servers: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """Yield the session's servers, emptied once per module; the module's tests share the data, and no worker runs."""
    with selected(servers):
        servers.reset()
        yield servers


@pytest.fixture
def start_worker(cluster: IntegrationCluster, tmp_path: Path) -> Iterator[StartWorker]:
    """Yield a function that starts a worker as the supervisor does; the worker ends with the test."""
    started: list[StartedWorker] = []

    def start(step: str, **settings: str) -> StartedWorker:
        log = tmp_path / f"{step}.{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "infra.run", step, "0"],
                stdout=output,
                stderr=output,
                env=os.environ | settings,
            )
        cluster.installation.run_folder.mkdir(parents=True, exist_ok=True)
        heartbeat = cluster.installation.run_folder / f"{step}.0.json"
        started.append(StartedWorker(process, log, heartbeat))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait(10)


def processes(cluster: IntegrationCluster, server: str) -> Sequence[psutil.Process]:
    """Return a server's process and its children."""
    home = cluster.stack.home
    servers = {
        "kafka": lambda: kafka_server.server(home),
        "registry": lambda: registry_server.server(home),
        "postgres": lambda: postgres_server.server(home, home.state().postgres),
    }
    process = servers[server]().process()
    assert process is not None
    return [process, *process.children(recursive=True)]


@contextmanager
def frozen(cluster: IntegrationCluster, server: str) -> Iterator[None]:
    """Freeze a server: its connections stay open, but it does not answer."""
    server_processes = processes(cluster, server)
    for process in server_processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in server_processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def with_secrets(cluster: IntegrationCluster, folder: Path, passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the cluster's settings as MESH_* variables, with these passwords instead of the right ones."""
    environment = cluster.environment
    secrets = orjson.loads(environment.secrets_file.read_bytes())
    file = folder / "secrets.json"
    file.write_bytes(orjson.dumps(secrets | dict(passwords)))
    database = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    return {
        "MESH_SECRETS": str(file),
        "MESH_KAFKA_BOOTSTRAP": environment.bootstrap,
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": f"postgresql://{database}",
    }
