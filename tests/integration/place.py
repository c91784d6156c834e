"""A mesh of a test's own: servers in a home of their own, real worker processes, and the commands an operator types."""

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
from infra.apply.steps import apply
from infra.environment import Environment
from infra.listing import kept, letters, rejected
from infra.local.home import Home
from infra.local.stack import Stack
from infra.look.stages import Look
from infra.look.waiting import wait_idle
from infra.run import background
from infra.run.ready import start_workers
from infra.schema_ids import codec
from schemas.topics import AUDITOR

IDLE_TIMEOUT_S = 150.0
COMMAND_TIMEOUT_S = 120.0
CONDITION_TIMEOUT_S = 60.0
MUNICIPALITIES = ("012033", "131041", "131130", "141097", "473812")
Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Servers, and an installation on them that MESH_HOME names."""

    stack: Stack
    installation: Installation

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
        self.stack.reset()
        self.stack.up()
        apply(self.environment, self.installation, MUNICIPALITIES)

    def mesh(self, *words: object) -> subprocess.CompletedProcess[str]:
        """What a command of `mesh` said and how it ended."""
        return subprocess.run(
            command(*words), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )

    def take_in(self, *files: Path) -> None:
        """Hand files over by the command of their kind, one after the other in this order."""
        for file in files:
            ended = self.mesh("ingest", *kind(file), file)
            assert ended.returncode == 0, ended.stderr

    def settle(self) -> None:
        """Wait until all that was handed over is applied everywhere."""
        wait_idle(self.environment, self.installation, timeout_s=IDLE_TIMEOUT_S)

    def left_before(self, step: str) -> int:
        """Records that a step (`sink`: any domain's) has before it now."""
        with Look(self.environment, self.installation) as look:
            return sum(stage.remaining for stage in look.stages() if stage.step.split(".")[0] == step)

    def refusals(self, *, duplicates: bool = False) -> list[Row]:
        """What `mesh rejected list` holds."""
        return rejected.listed(self.environment, codec(self.environment, self.installation), duplicates)

    def conflicts(self) -> list[Row]:
        """What `mesh conflicts list` holds."""
        return kept.conflicts(self.environment, codec(self.environment, self.installation))

    def dead_letters(self) -> list[Row]:
        """What `mesh dlq list` holds."""
        return letters.listed(self.environment, codec(self.environment, self.installation))

    def table(self, schema: str, name: str) -> list[Row]:
        """The rows of a domain's table."""
        with psycopg.connect(self.environment.dsn(AUDITOR), row_factory=dict_row) as connection:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name))
            return connection.execute(query).fetchall()

    def handed_over(self) -> dict[str, int]:
        """How many records each topic of hand-overs has, of those that have any."""
        with Look(self.environment, self.installation) as look:
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
def running(folder: Path) -> Iterator[Place]:
    """Servers in `folder` for as long as it lasts; commands and workers find them by MESH_HOME."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MESH_")]:
            patch.delenv(name)
        patch.setenv("MESH_HOME", str(folder))
        stack = Stack(Home(folder))
        installation = Installation(folder)
        try:
            stack.up()
            place = Place(stack, installation)
            apply(place.environment, installation, MUNICIPALITIES)
            yield place
        finally:
            background.stop(installation)
            stack.reset()
