"""Servers that are stopped and frozen, and workers started one by one."""

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
from tests.integration.cluster import IntegrationCluster, named

READY_S = 60.0


@dataclass(frozen=True)
class Started:
    """A worker's process, and the lines of its log."""

    process: subprocess.Popen[bytes]
    log: Path
    heartbeat: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event; librdkafka's own lines aren't JSON, and the last may still be being written."""
        *written, _ = self.log.read_bytes().split(b"\n")
        lines = [line for line in written if line.startswith(b"{")]
        return [line for line in map(orjson.loads, lines) if line["event"] == name]

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Returns when the condition holds; looks again twenty times a second, or when the worker ends."""
        deadline = time.monotonic() + READY_S
        while not condition():
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.process.wait(0.05)
                assert condition(), f"ended with {code} before {what}: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"waited in vain until {what}: {self.log.read_text()}"

    def until_told(self, event: str, count: int = 1) -> None:
        """Returns when its log has so many lines of an event."""
        self.until(event, lambda: len(self.events(event)) >= count)

    @property
    def state(self) -> str:
        """What its heartbeat says."""
        with contextlib.suppress(FileNotFoundError):
            beat = orjson.loads(self.heartbeat.read_bytes())
            return str(beat["state"]) if beat["pid"] == self.process.pid else ""
        return ""

    def stopped(self, within_s: float) -> int:
        """Tells it to stop; its exit code. TimeoutExpired where it takes longer."""
        self.process.terminate()
        return self.process.wait(within_s)


Begin = Callable[..., Started]


@pytest.fixture(scope="module")
def place(servers: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """The session's servers, emptied and applied for each module, whose tests share what they add; no workers run."""
    with named(servers):
        servers.forget()
        yield servers


@pytest.fixture
def begin(place: IntegrationCluster, tmp_path: Path) -> Iterator[Begin]:
    """Starts a worker as the supervisor does; it ends with the test."""
    started: list[Started] = []

    def make(step: str, **settings: str) -> Started:
        log = tmp_path / f"{step}.{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "infra.run", step, "0"],
                stdout=output,
                stderr=output,
                env=os.environ | settings,
            )
        place.installation.run.mkdir(parents=True, exist_ok=True)
        heartbeat = place.installation.run / f"{step}.0.json"
        started.append(Started(process, log, heartbeat))
        return started[-1]

    yield make
    for each in started:
        each.process.kill()
        each.process.wait(10)


def processes(place: IntegrationCluster, server: str) -> Sequence[psutil.Process]:
    """A server's process, and those that it started."""
    home = place.stack.home
    servers = {
        "kafka": lambda: kafka_server.server(home),
        "registry": lambda: registry_server.server(home),
        "postgres": lambda: postgres_server.server(home, home.state().postgres),
    }
    process = servers[server]().process()
    assert process is not None
    return [process, *process.children(recursive=True)]


@contextmanager
def frozen(place: IntegrationCluster, server: str) -> Iterator[None]:
    """A server that doesn't answer: its connections stand, and nothing comes."""
    found = processes(place, server)
    for process in found:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def with_secrets(place: IntegrationCluster, folder: Path, passwords: Mapping[str, str]) -> dict[str, str]:
    """Settings of an environment that is the place's, but for these passwords."""
    environment = place.environment
    known = orjson.loads(environment.secrets_file.read_bytes())
    file = folder / "secrets.json"
    file.write_bytes(orjson.dumps(known | dict(passwords)))
    database = f"{environment.database_host}:{environment.database_port}/{environment.database_name}"
    return {
        "MESH_SECRETS": str(file),
        "MESH_KAFKA_BOOTSTRAP": environment.bootstrap,
        "MESH_REGISTRY_URL": environment.registry_url,
        "MESH_DATABASE_URL": f"postgresql://{database}",
    }
