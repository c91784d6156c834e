"""A worker of a step as in production, with the step's user, group, topics and settings."""

from __future__ import annotations

import time

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.run import topology
from infra.run.logs import configure
from infra.run.worker import collect_rarely
from tests.bench.shared import wait_for_share
from tests.bench.side import Task
from tests.bench.timing import Run, Stopwatch


def run(step: str, task: Task) -> Run:
    """Run the worker until all records are committed.

    Options if it is one of several workers: `slot`, `topic` (the only one that it reads), and `share` (its number of
    partitions; the measurement begins when it has them).
    """
    slot = int(task.options.get("slot", 0))
    configure(step, slot)
    if "share" in task.options:
        # With all topics, also empty ones, each worker would have as many partitions, but not as much work.
        topology.INPUTS[step] = [task.options["topic"]]
    worker = topology.build_pipeline(
        step, slot, Environment.load(), Installation.of_settings(), time.monotonic
    )
    collect_rarely()
    worker.start()
    if "share" in task.options:
        wait_for_share(worker, task)
    watch = Stopwatch(task.records, task.warm_up)
    while not watch.done:
        watch.record_batch(worker.run_once())
    worker.close()
    return watch.run
