"""Ours: a worker of a step as it runs in production, with its own user, group, topics and settings."""

from __future__ import annotations

import time

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.run.build import pipeline
from infra.run.logs import configure
from tests.bench.side import Task
from tests.bench.timing import Run, Stopwatch


def run(step: str, task: Task) -> Run:
    """Turns until all records are committed."""
    configure(step, 0)
    worker = pipeline(step, 0, Environment.load(), Installation.of_settings(), time.monotonic)
    watch = Stopwatch(task.records, task.warm)
    worker.start()
    while not watch.done:
        watch.add(worker.turn())
    worker.close()
    return watch.run
