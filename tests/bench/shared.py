"""Several workers of one step, in a process each, that share the partitions of a topic and are measured together."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tests.bench import timing
from tests.bench.cluster import BenchCluster
from tests.bench.side import Task, start

#: Of what is there, so much is counted: partitions have not all the same, and some is done before all have joined.
COUNTED: Final = 0.7
JOIN_TIMEOUT_S: Final = 60.0
#: Records of a turn until each has its share.
JOINING_RECORDS: Final = 10


@dataclass(frozen=True)
class Work:
    """`count` records of a topic, to be done by a side that is a worker of `step`."""

    place: BenchCluster
    side: str
    step: str
    topic: str
    count: int

    def by(self, workers: int) -> timing.Run:
        """What so many took together; when it returns their group has no member any more."""
        partitions = self.place.log.partitions(self.topic)
        counted = int(self.count * COUNTED / workers)
        more = {"topic": self.topic, "share": partitions // workers}
        tasks = [
            Task(counted, counted // 5, str(self.place.folder / f"sides-{slot}"), {**more, "slot": slot})
            for slot in range(workers)
        ]
        with ThreadPoolExecutor(workers) as pool:
            runs = list(pool.map(lambda task: start(self.side, task), tasks))
        # Who comes next would find their partitions taken.
        self.place.log.left(self.step)
        return timing.Run(
            sum(run.records for run in runs),
            max(run.seconds for run in runs),
            sum(run.cpu_s for run in runs),
            sum(run.memory_mb for run in runs),
        )


class Worker(Protocol):
    """A pipeline, or a sink's worker."""

    _settings: Any

    @property
    def partitions(self) -> list[Any]:
        """Those it has now."""

    def run_once(self) -> int:
        """How many records it did."""


def join(worker: Worker, task: Task) -> None:
    """Turns, of a few records each, until the worker has its share of the partitions. RuntimeError: never."""
    settings, begun = worker._settings, time.monotonic()
    worker._settings = settings.model_copy(update={"batch_records_max": JOINING_RECORDS})
    while len(worker.partitions) != task.more["share"]:
        if time.monotonic() - begun > JOIN_TIMEOUT_S:
            raise RuntimeError(
                f"{len(worker.partitions)} partitions, where {task.more['share']} are its share"
            )
        worker.run_once()
    worker._settings = settings
