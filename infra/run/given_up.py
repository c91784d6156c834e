"""Workers that were given up: whole processes by the supervisor, and single sinks by their process.

A process with several sinks continues with the others. It writes those that it has given up to a file of its slot.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from infra.apply.installation import Installation
from infra.local.home import write_json
from infra.run.slots import Slot, steps_of
from streams.worker import ExitCode

if TYPE_CHECKING:  # A worker doesn't import its supervisor.
    from infra.run.supervisor import RunningSupervisor, WorkerState


@dataclass(frozen=True)
class GivenUpWorker:
    """A worker of one step that is not restarted; a sink's step is `sink.<domain>`."""

    step: str
    slot: int
    exit_code: int | None

    def __str__(self) -> str:
        """Return its name and why it ended, such as `sink.care.0 (exit code 15, LOST_RECORDS)`."""
        names = {int(code): code.name for code in ExitCode}
        name = f", {names[self.exit_code]}" if self.exit_code in names else ""
        return f"{self.step}.{self.slot} (exit code {self.exit_code}{name})"


class GivenUpSinks:
    """The file with the sinks that this process has given up."""

    def __init__(self, installation: Installation, slot: Slot) -> None:
        self._file = _file(installation, slot)
        self._codes: dict[str, int] = {}

    def add(self, step: str, exit_code: int) -> None:
        """Note that a sink was given up, with the exit code of its error."""
        self._codes[step] = exit_code
        write_json(self._file, {"pid": os.getpid(), "exit_codes": self._codes})


def given_up_workers(installation: Installation, running: RunningSupervisor | None) -> list[GivenUpWorker]:
    """Return the workers of this installation's supervisor that were given up, step by step."""
    given_up = []
    for worker in running.workers if running else ():
        if worker.state == "given-up":
            codes: dict[str, int | None] = dict.fromkeys(steps_of(worker.step), worker.exit_code)
        else:
            codes = {**given_up_sinks(installation, worker)}
        given_up += [GivenUpWorker(step, worker.slot, code) for step, code in codes.items()]
    return given_up


def given_up_sinks(installation: Installation, worker: WorkerState) -> dict[str, int]:
    """Return the exit codes of the sinks, by step, that a running process has given up."""
    try:
        document = orjson.loads(_file(installation, Slot(worker.step, worker.slot)).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    # The file of an earlier process of the slot says nothing about this one.
    return dict(document["exit_codes"]) if document["pid"] == worker.pid else {}


def _file(installation: Installation, slot: Slot) -> Path:
    return installation.run_folder / f"{slot.name}.given-up.json"
