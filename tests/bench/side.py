"""One side of a comparison: `python -m tests.bench.side NAME TASK`. Started by `start`, which is told what it took."""

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
    """So many records to be processed, measured after `warm` of them; what else a side wants to know in `more`."""

    records: int
    warm: int
    folder: str
    more: Mapping[str, Any] = field(default_factory=dict)


def start(name: str, task: Task, python: str = sys.executable) -> Run:
    """Runs a side (a module of `tests.bench.sides`) in a process of its own. RuntimeError: it failed."""
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    result, output = folder / f"{name}.result.json", folder / f"{name}.log"
    (folder / f"{name}.task.json").write_bytes(orjson.dumps(asdict(task)))
    result.unlink(missing_ok=True)
    with output.open("wb") as log:
        ended = subprocess.run(
            [python, "-m", "tests.bench.side", name, str(folder / f"{name}.task.json"), str(result)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            timeout=TIMEOUT_S,
            check=False,
        )
    if ended.returncode:
        raise RuntimeError(f"{name} ended with {ended.returncode}: {output.read_text('utf-8')[-2_000:]}")
    return Run(**orjson.loads(result.read_bytes()))


def main() -> None:
    """Entry point of the process."""
    name, task_file, result = sys.argv[1:]
    task = Task(**orjson.loads(Path(task_file).read_bytes()))
    module, _, of = name.partition(".")
    side: Callable[..., Run] = importlib.import_module(f"tests.bench.sides.{module}").run
    run = side(of, task) if of else side(task)
    Path(result).write_bytes(orjson.dumps(run.as_json()))
    sys.stdout.flush()
    # A client's threads must not hold back who waits for us.
    os._exit(0)


if __name__ == "__main__":
    main()
