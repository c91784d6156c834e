"""Ours: a worker of a step as it runs in production, with its own user, group, topics and settings."""

from __future__ import annotations

import time

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.run import build
from infra.run.logs import configure
from infra.run.worker import collect_rarely
from streams.pipeline import Pipeline
from tests.bench.side import Task
from tests.bench.timing import Run, Stopwatch


def run(step: str, task: Task) -> Run:
    """Turns until all records are committed.

    `more`, where it is one of several workers: `slot`, `workers` (how many), and `topic` with its `partitions`, which
    it reads alone: it counts from when each worker has its share of them, and then its share of the records.
    """
    slot = int(task.more.get("slot", 0))
    configure(step, slot)
    if "workers" in task.more:
        # With all the topics that nothing is in, workers have as many partitions each, but not as much work.
        build.INPUTS[step] = [task.more["topic"]]
    worker = build.pipeline(step, slot, Environment.load(), Installation.of_settings(), time.monotonic)
    collect_rarely()
    worker.start()
    share = _share(worker, task) if "workers" in task.more else 1.0
    watch = Stopwatch(int(share * task.records), int(share * task.warm))
    while not watch.done:
        watch.add(worker.turn())
    worker.close()
    return watch.run


def _share(worker: Pipeline, task: Task) -> float:
    """A worker's part, once it has as many partitions as every other."""
    wanted, begun = task.more["partitions"] / task.more["workers"], time.monotonic()
    while len(worker.partitions) != wanted:
        if time.monotonic() - begun > task.more["join_timeout_s"]:
            raise RuntimeError(f"{len(worker.partitions)} partitions, where {wanted} are each worker's share")
        worker.turn()
    return float(1 / task.more["workers"])
