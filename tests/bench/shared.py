"""Several workers of one step, in processes of their own, that share a topic's partitions and are measured together."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tests.bench import timing
from tests.bench.cluster import BenchCluster
from tests.bench.side import Task, run_side

#: Share of the records that is measured: partitions have unequal numbers, and some are done before all have joined.
MEASURED_SHARE: Final = 0.7
JOIN_TIMEOUT_S: Final = 60.0
#: Maximum batch until each worker has its share of the partitions.
JOINING_BATCH_RECORDS: Final = 10


@dataclass(frozen=True)
class SharedWork:
    """`records` of a topic, to be processed by a side that is a worker of `step`."""

    cluster: BenchCluster
    side: str
    step: str
    topic: str
    records: int

    def run_workers(self, workers: int) -> timing.Run:
        """Process the records by `workers` and return their measurement together.

        Afterwards their group has no member any more: the next workers would find their partitions taken.
        """
        partitions = self.cluster.topics.partitions(self.topic)
        measured = int(self.records * MEASURED_SHARE / workers)
        options = {"topic": self.topic, "share": partitions // workers}
        tasks = [
            Task(
                measured, measured // 5, str(self.cluster.folder / f"sides-{slot}"), {**options, "slot": slot}
            )
            for slot in range(workers)
        ]
        with ThreadPoolExecutor(workers) as pool:
            runs = list(pool.map(lambda task: run_side(self.side, task), tasks))
        self.cluster.topics.wait_until_empty(self.step)
        return timing.Run(
            sum(run.records for run in runs),
            max(run.seconds for run in runs),
            sum(run.cpu_s for run in runs),
            sum(run.memory_mb for run in runs),
        )


class Worker(Protocol):
    """A step's pipeline or a sink's worker."""

    _settings: Any

    @property
    def partitions(self) -> list[Any]:
        """The partitions that the worker has now."""

    def run_once(self) -> int:
        """Process a batch and return its number of records."""


def wait_for_share(worker: Worker, task: Task) -> None:
    """Run the worker with small batches until it has its share of the partitions.

    Raise RuntimeError if it doesn't get it within JOIN_TIMEOUT_S.
    """
    settings, begun = worker._settings, time.monotonic()
    worker._settings = settings.model_copy(update={"batch_records_max": JOINING_BATCH_RECORDS})
    while len(worker.partitions) != task.options["share"]:
        if time.monotonic() - begun > JOIN_TIMEOUT_S:
            raise RuntimeError(
                f"the worker has {len(worker.partitions)} partitions, not its share of {task.options['share']}"
            )
        worker.run_once()
    worker._settings = settings
