"""The process of a side of a comparison: `python -m tests.bench.side NAME TASK RESULT`, started by `run_side`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench.timing import Run

ROOT: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 600.0


@dataclass(frozen=True)
class Task:
    """The work of a side: process `records`, measured after the first `warm_up`; `options` depend on the side."""

    records: int
    warm_up: int
    folder: str
    options: Mapping[str, Any] = field(default_factory=dict)


def run_side(name: str, task: Task, python: str = sys.executable) -> Run:
    """Run a side in a process of its own and return its measurement.

    `name` is a module of `tests.bench.sides`, with an argument after a dot if its `run` takes one. Raise RuntimeError
    if the process fails.
    """
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    result, output = folder / f"{name}.result.json", folder / f"{name}.log"
    (folder / f"{name}.task.json").write_bytes(orjson.dumps(asdict(task)))
    result.unlink(missing_ok=True)
    with output.open("wb") as log:
        process = subprocess.run(
            [python, "-m", "tests.bench.side", name, str(folder / f"{name}.task.json"), str(result)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            timeout=TIMEOUT_S,
            check=False,
        )
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}: {output.read_text('utf-8')[-2_000:]}")
    return Run(**orjson.loads(result.read_bytes()))


def main() -> None:
    """Run the side that the arguments name, and write its measurement to the result file."""
    name, task_file, result = sys.argv[1:]
    task = Task(**orjson.loads(Path(task_file).read_bytes()))
    module, _, argument = name.partition(".")
    side: Callable[..., Run] = importlib.import_module(f"tests.bench.sides.{module}").run
    run = side(argument, task) if argument else side(task)
    Path(result).write_bytes(orjson.dumps(run.as_json()))
    sys.stdout.flush()
    # Exit at once: threads of the clients must not keep the process alive while the caller waits for it.
    os._exit(0)


if __name__ == "__main__":
    main()
