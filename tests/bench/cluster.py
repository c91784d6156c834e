"""Servers of a benchmark's own: from nothing to nothing, in `build/bench/`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.environment import Environment
from infra.local.home import Home
from infra.local.stack import Stack
from infra.run import background
from tests.bench.log import Log

MUNICIPALITIES: Final = ("012033", "131041", "131130", "141097")


@dataclass(frozen=True)
class BenchCluster:
    """Servers that hold nothing yet but what `mesh apply` makes."""

    stack: Stack
    environment: Environment
    installation: Installation
    log: Log

    @property
    def folder(self) -> Path:
        """Where a run keeps its files, beside the servers' home."""
        return self.stack.home.folder.parent


@contextmanager
def running(folder: Path) -> Iterator[BenchCluster]:
    """Servers in `folder`/home for as long as it lasts; processes find them by MESH_HOME. One run at a time."""
    home = folder / "home"
    stack, installation = Stack(Home(home)), Installation(home)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"), _surroundings(home):
        clear(folder)
        try:
            stack.up()
            environment = Environment.of_stack(stack.home)
            apply(environment, installation, MUNICIPALITIES)
            yield BenchCluster(stack, environment, installation, Log(environment))
        finally:
            clear(folder)


def clear(folder: Path) -> None:
    """Ends whatever a run that was cut short has left in `folder`."""
    home = Home(folder / "home")
    if home.state_exists():
        background.stop(Installation(home.folder))
        Stack(home).reset()


@contextmanager
def _surroundings(home: Path) -> Iterator[None]:
    """MESH_* settings of this run alone: measured is what a release does by default."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MESH_")}
    kept = {"MESH_MAVEN_REPOSITORY"}
    for name in before.keys() - kept:
        del os.environ[name]
    os.environ["MESH_HOME"] = str(home)
    try:
        yield
    finally:
        del os.environ["MESH_HOME"]
        os.environ.update(before)
