"""A mesh for integration tests: servers with a home of their own, real worker processes, the commands of `mesh`.

Servers take a dozen seconds to start and another dozen to warm up. So all tests of a session share them, one after the
other, and each test begins by emptying them (`tests.integration.empty_servers`). After a failed test the state of the
servers is unknown: then they are deleted and created again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.local.home import Home
from infra.local.stack import Stack
from infra.monitoring.stages import MeshInspector
from infra.monitoring.waiting import wait_idle
from infra.run import background
from infra.run.background import start_workers
from infra.triage import dead_letter_listing, rejections_and_conflicts
from schemas.topics import AUDITOR
from tests.integration.empty_servers import empty

IDLE_TIMEOUT_S = 150.0
COMMAND_TIMEOUT_S = 120.0
CONDITION_TIMEOUT_S = 60.0
MUNICIPALITIES = ("012033", "131041", "131130", "141097", "473812")
Row = dict[str, Any]


@dataclass
class IntegrationCluster:
    """Servers and an installation on them; `failed_tests` returns how many tests of the session have failed."""

    stack: Stack
    installation: Installation
    failed_tests: Callable[[], int]
    #: `failed_tests()` when the servers were last emptied; -1 before that.
    _failed_when_emptied: int = -1

    @property
    def environment(self) -> Environment:
        """The addresses and credentials of the running servers."""
        return Environment.of_stack(self.stack.home)

    def start_empty(self, workers: int = 1) -> None:
        """Empty the servers, apply the declarations, start `workers` workers of each step and wait until they run."""
        self.reset()
        start_workers(self.environment, self.installation, workers)

    def reset(self) -> None:
        """Stop the workers, empty the servers and apply the declarations."""
        background.stop(self.installation)
        failed = self.failed_tests()
        if failed != self._failed_when_emptied:
            self.stack.reset()
        self._failed_when_emptied = failed
        self.stack.up()
        empty(self.environment, self.installation, MUNICIPALITIES)

    def ensure_up(self) -> None:
        """Start the servers with all declarations applied, whatever data they have."""
        if self.failed_tests() == self._failed_when_emptied:
            self.stack.up()
        else:
            self.reset()

    def mesh(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command of `mesh` and return its output and exit code."""
        return subprocess.run(
            command(*arguments), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )

    def ingest(self, *files: Path) -> None:
        """Ingest files in this order."""
        for arguments, batch in ingest_commands(files):
            process = self.mesh("ingest", *arguments, *batch)
            assert process.returncode == 0, process.stderr

    def wait_idle(self) -> None:
        """Wait until every accepted submission is applied in every store."""
        wait_idle(self.environment, self.installation, timeout_s=IDLE_TIMEOUT_S)

    def remaining(self, step: str) -> int:
        """Return how many records a step has not processed yet (`sink`: the sinks of all domains)."""
        with MeshInspector(self.environment, self.installation) as inspector:
            return sum(stage.remaining for stage in inspector.stages() if stage.step.split(".")[0] == step)

    def rejections(self, *, duplicates: bool = False) -> list[Row]:
        """Return the rows of `mesh rejected list`."""
        return rejections_and_conflicts.list_rejected(
            self.environment, codec(self.environment, self.installation), duplicates
        )

    def conflicts(self) -> list[Row]:
        """Return the rows of `mesh conflicts list`."""
        return rejections_and_conflicts.list_conflicts(
            self.environment, codec(self.environment, self.installation)
        )

    def dead_letters(self) -> list[Row]:
        """Return the rows of `mesh dlq list`."""
        return dead_letter_listing.list_dead_letters(
            self.environment, codec(self.environment, self.installation)
        )

    def table(self, schema: str, name: str) -> list[Row]:
        """Return the rows of a domain's table."""
        with psycopg.connect(self.environment.dsn(AUDITOR), row_factory=dict_row) as connection:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name))
            return connection.execute(query).fetchall()

    def submissions_by_topic(self) -> dict[str, int]:
        """Return the number of submissions of each input topic that has any."""
        with MeshInspector(self.environment, self.installation) as inspector:
            intake = next(stage for stage in inspector.stages() if stage.step == "intake")
        return {topic: lag.end for (topic, _), lag in intake.lags.items() if lag.end}


def wait_until(
    description: str, condition: Callable[[], object], timeout_s: float = CONDITION_TIMEOUT_S
) -> None:
    """Return when the condition is true. It is called without a pause, so it must itself wait for something."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {description}"


def command(*arguments: object) -> Sequence[str]:
    """Return a command line of `mesh`."""
    return [str(Path(sys.executable).with_name("mesh")), *map(str, arguments)]


def ingest_commands(files: Sequence[Path]) -> list[tuple[Sequence[str], list[Path]]]:
    """Return the arguments and files of as few `mesh ingest` commands as possible, in the order of `files`.

    Consecutive files of one format share a command, except a file that occurs twice.
    """
    commands: list[tuple[Sequence[str], list[Path]]] = []
    for file in files:
        arguments = ingest_arguments(file)
        if commands and commands[-1][0] == arguments and file not in commands[-1][1]:
            commands[-1][1].append(file)
        else:
            commands.append((arguments, [file]))
    return commands


def ingest_arguments(file: Path) -> Sequence[str]:
    """Return the arguments of `mesh ingest` before the file name, which determines them."""
    arguments = {
        "juki": ["juki-cs"],
        "notices": ["notices"],
        "enrolments": ["enrolments"],
        "events": ["events", "--system", "portal"],
    }
    return arguments[file.stem.split("_")[0]]


@contextmanager
def created_in(folder: Path, failed_tests: Callable[[], int]) -> Iterator[IntegrationCluster]:
    """Yield a cluster in `folder`, whose servers start when a test needs them; delete it afterwards."""
    installation = Installation(folder)
    stack = Stack(Home(folder))
    try:
        yield IntegrationCluster(stack, installation, failed_tests)
    finally:
        background.stop(installation)
        stack.reset()


@contextmanager
def selected(cluster: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """Make commands and workers of this process use the cluster; stop its workers afterwards."""
    with only_settings({"MESH_HOME": str(cluster.stack.home.folder)}):
        try:
            yield cluster
        finally:
            background.stop(cluster.installation)


@contextmanager
def only_settings(settings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Give this process these MESH_* settings and no others; yield its environment variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MESH_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        yield dict(os.environ)
