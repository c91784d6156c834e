"""A mesh for tests that begin anew: servers in a home of their own, real worker processes, an operator's commands.

Servers take a dozen seconds to start, and as long again until they are warm: all tests of a session share them, one
after the other, and each begins by emptying them (`tests.integration.emptied`). Where a test has failed since they were
last empty, nothing is known of the state that it left them in: then they are made anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from infra.apply.installation import Installation
from infra.codec import codec
from infra.environment import Environment
from infra.local.home import Home
from infra.local.stack import Stack
from infra.monitoring.stages import MeshInspector
from infra.monitoring.waiting import wait_idle
from infra.run import background
from infra.run.background import start_workers
from infra.triage import conflicts, dead_letter_listing, rejected
from schemas.topics import AUDITOR
from tests.integration.emptied import empty

IDLE_TIMEOUT_S = 150.0
COMMAND_TIMEOUT_S = 120.0
CONDITION_TIMEOUT_S = 60.0
MUNICIPALITIES = ("012033", "131041", "131130", "141097", "473812")
Row = dict[str, Any]


@dataclass
class IntegrationCluster:
    """Servers, and an installation on them that MESH_HOME names; `failed` counts the session's tests that failed."""

    stack: Stack
    installation: Installation
    failed: Callable[[], int]
    #: How many it were when the servers were emptied last; -1 before they ever were.
    _failed_before: int = -1

    @property
    def environment(self) -> Environment:
        """The servers as they run now."""
        return Environment.of_stack(self.stack.home)

    def begin_anew(self, workers: int = 1) -> None:
        """Servers that hold nothing, all applied, and so many workers of each step, ready."""
        self.forget()
        start_workers(self.environment, self.installation, workers)

    def forget(self) -> None:
        """Servers that hold nothing, all applied; no worker runs."""
        background.stop(self.installation)
        failed = self.failed()
        if failed != self._failed_before:
            self.stack.reset()
        self._failed_before = failed
        self.stack.up()
        empty(self.environment, self.installation, MUNICIPALITIES)

    def present(self) -> None:
        """Servers, all applied, whatever they hold."""
        if self.failed() == self._failed_before:
            self.stack.up()
        else:
            self.forget()

    def mesh(self, *words: object) -> subprocess.CompletedProcess[str]:
        """What a command of `mesh` said and how it ended."""
        return subprocess.run(
            command(*words), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )

    def take_in(self, *files: Path) -> None:
        """Hand files over in this order."""
        for words, some in hand_overs(files):
            ended = self.mesh("ingest", *words, *some)
            assert ended.returncode == 0, ended.stderr

    def settle(self) -> None:
        """Wait until all that was handed over is applied everywhere."""
        wait_idle(self.environment, self.installation, timeout_s=IDLE_TIMEOUT_S)

    def left_before(self, step: str) -> int:
        """Records that a step (`sink`: any domain's) has before it now."""
        with MeshInspector(self.environment, self.installation) as look:
            return sum(stage.remaining for stage in look.stages() if stage.step.split(".")[0] == step)

    def refusals(self, *, duplicates: bool = False) -> list[Row]:
        """What `mesh rejected list` holds."""
        return rejected.listed(self.environment, codec(self.environment, self.installation), duplicates)

    def conflicts(self) -> list[Row]:
        """What `mesh conflicts list` holds."""
        return conflicts.conflicts(self.environment, codec(self.environment, self.installation))

    def dead_letters(self) -> list[Row]:
        """What `mesh dlq list` holds."""
        return dead_letter_listing.listed(self.environment, codec(self.environment, self.installation))

    def table(self, schema: str, name: str) -> list[Row]:
        """The rows of a domain's table."""
        with psycopg.connect(self.environment.dsn(AUDITOR), row_factory=dict_row) as connection:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name))
            return connection.execute(query).fetchall()

    def handed_over(self) -> dict[str, int]:
        """How many records each topic of hand-overs has, of those that have any."""
        with MeshInspector(self.environment, self.installation) as look:
            intake = next(stage for stage in look.stages() if stage.step == "intake")
        return {topic: lag.end for (topic, _), lag in intake.lags.items() if lag.end}


def until(condition: Callable[[], object], what: str) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + CONDITION_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"


def command(*words: object) -> Sequence[str]:
    """A command line of `mesh`."""
    return [str(Path(sys.executable).with_name("mesh")), *map(str, words)]


def hand_overs(files: Sequence[Path]) -> list[tuple[Sequence[str], list[Path]]]:
    """By one command what is of one kind and follows each other; a file that comes again, by another."""
    found: list[tuple[Sequence[str], list[Path]]] = []
    for file in files:
        words = kind(file)
        if found and found[-1][0] == words and file not in found[-1][1]:
            found[-1][1].append(file)
        else:
            found.append((words, [file]))
    return found


def kind(file: Path) -> Sequence[str]:
    """The words of `mesh ingest` for a file, by its name."""
    first = file.stem.split("_")[0]
    words = {
        "juki": ["juki-cs"],
        "notices": ["notices"],
        "enrolments": ["enrolments"],
        "events": ["events", "--system", "portal"],
    }
    return words[first]


@contextmanager
def running(folder: Path, failed: Callable[[], int]) -> Iterator[IntegrationCluster]:
    """Servers in `folder` for as long as it lasts, started when they are first needed."""
    installation = Installation(folder)
    stack = Stack(Home(folder))
    try:
        yield IntegrationCluster(stack, installation, failed)
    finally:
        background.stop(installation)
        stack.reset()


@contextmanager
def named(place: IntegrationCluster) -> Iterator[IntegrationCluster]:
    """Commands and workers find the place by MESH_HOME, and no other setting counts; afterwards no worker runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MESH_")]:
            patch.delenv(name)
        patch.setenv("MESH_HOME", str(place.stack.home.folder))
        try:
            yield place
        finally:
            background.stop(place.installation)
