"""Servers of a benchmark, started empty in `build/bench/` and removed afterwards."""

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
    """Servers that are empty except for what `mesh apply` creates."""

    stack: Stack
    environment: Environment
    installation: Installation
    topics: Log

    @property
    def folder(self) -> Path:
        """Folder of a run's files, beside the servers' home."""
        return self.stack.home.folder.parent


@contextmanager
def running_cluster(folder: Path) -> Iterator[BenchCluster]:
    """Run servers in `folder`/home during the context; processes find them by MESH_HOME.

    A lock allows one run at a time.
    """
    home = folder / "home"
    stack, installation = Stack(Home(home)), Installation(home)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"), _environment_variables(home):
        remove_leftovers(folder)
        try:
            stack.up()
            environment = Environment.of_stack(stack.home)
            apply(environment, installation, MUNICIPALITIES)
            yield BenchCluster(stack, environment, installation, Log(environment))
        finally:
            remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Stop and remove servers and workers that an interrupted run has left in `folder`."""
    home = Home(folder / "home")
    if home.state_exists():
        background.stop(Installation(home.folder))
        Stack(home).reset()


@contextmanager
def _environment_variables(home: Path) -> Iterator[None]:
    """Unset MESH_* variables during the context: the default settings of a release are measured."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MESH_")}
    unchanged = {"MESH_MAVEN_REPOSITORY"}
    for name in before.keys() - unchanged:
        del os.environ[name]
    os.environ["MESH_HOME"] = str(home)
    try:
        yield
    finally:
        del os.environ["MESH_HOME"]
        os.environ.update(before)
