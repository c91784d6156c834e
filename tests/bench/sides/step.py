"""Ours: a worker of a step as it runs in production, with its own user, group, topics and settings."""

from __future__ import annotations

import time

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.run import topology
from infra.run.logs import configure
from infra.run.worker import collect_rarely
from tests.bench.shared import join
from tests.bench.side import Task
from tests.bench.timing import Run, Stopwatch


def run(step: str, task: Task) -> Run:
    """Turns until all records are committed.

    `more`, where it is one of several workers: `slot`, the `topic` that it reads alone, and how many of its partitions
    are its `share`: it counts from when it has them.
    """
    slot = int(task.more.get("slot", 0))
    configure(step, slot)
    if "share" in task.more:
        # With all the topics that nothing is in, workers have as many partitions each, but not as much work.
        topology.INPUTS[step] = [task.more["topic"]]
    worker = topology.pipeline(step, slot, Environment.load(), Installation.of_settings(), time.monotonic)
    collect_rarely()
    worker.start()
    if "share" in task.more:
        join(worker, task)
    watch = Stopwatch(task.records, task.warm)
    while not watch.done:
        records = worker.run_once()
        watch.add(records, worker.unsent_records)
    worker.close()
    return watch.run
