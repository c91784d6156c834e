"""The cost of many municipalities and partitions.

Measures `mesh apply`, intake with the topics of all municipalities, and household with many partitions of notices: the
start of a worker, its rate and its memory.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from infra.apply import reconcile
from infra.apply.reconcile import ApplySummary
from processors.household import HouseholdProcessor
from schemas.municipalities import check_digit
from schemas.topics import NOTICE, dlq_state_topic, state_topic
from tests.bench import intake, timing, workers
from tests.bench.cluster import MUNICIPALITIES, BenchCluster, running_cluster
from tests.bench.figures import Figure
from tests.bench.side import Task, run_side
from tests.bench.sizes import Progress, Sizes

#: Topics that must have as many partitions as that of the notices: household keeps its state by the same partition.
_CO_PARTITIONED_TOPICS: Final = (
    NOTICE,
    dlq_state_topic("household"),
    *(state_topic("household", store) for store in HouseholdProcessor().stores),
)
#: Number of notices that wait for a worker that is started.
WAITING_NOTICES: Final = 100


@dataclass(frozen=True)
class Measurement:
    """Runs of a step, and the median time from process start to its first committed batch."""

    runs: Sequence[timing.Run]
    first_batch_s: float


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Measure with few municipalities, then with many on the same servers, and the time to apply them."""
    all_codes = list(islice(codes(), sizes.municipalities))
    with running_cluster(folder) as cluster:
        scale = _Scale(cluster, sizes, progress)
        few_partitions = scale.measure_both_steps(MUNICIPALITIES)
        few = scale.measure_intake(MUNICIPALITIES)
        first_s, summary = scale.apply(all_codes[:-1])
        again_s, unchanged = scale.apply([])
        if unchanged.changes:
            raise RuntimeError(f"a repeated apply made {unchanged.changes} changes instead of none")
        one_more_s, _ = scale.apply(all_codes[-1:])
        many = scale.measure_intake(all_codes)
        cluster.topics.skip_to_end("household", NOTICE)
        for topic in _CO_PARTITIONED_TOPICS:
            cluster.topics.add_partitions(topic, sizes.partitions)
        many_partitions = scale.measure_both_steps(all_codes)
    count, rate, cpu, memory = len(all_codes), timing.rate, timing.cpu_us, timing.memory_mb
    name = f"intake with {count:,} municipalities, against {len(MUNICIPALITIES)}"
    return [
        Figure(
            f"apply: {summary.topics:,} topics, {summary.users:,} users, {summary.acls_added:,} ACLs",
            first_s,
            None,
            "s",
        ),
        Figure(f"apply: {count:,} municipalities, no change", again_s, None, "s"),
        Figure(f"apply: one municipality more than {count - 1:,}", one_more_s, None, "s"),
        Figure(name, rate(many.runs), rate(few.runs), "records/s"),
        Figure(f"{name}: CPU", cpu(many.runs), cpu(few.runs), "µs/record"),
        Figure(f"{name}: memory", memory(many.runs), memory(few.runs), "MB"),
        Figure(f"{name}: process to first committed batch", many.first_batch_s, few.first_batch_s, "s"),
        *_partition_figures(sizes, many, few_partitions, many_partitions),
    ]


def codes() -> Iterator[str]:
    """Yield the municipality codes of the other parts, then invented ones with the right check digit."""
    yield from MUNICIPALITIES
    for prefecture in range(1, 48):
        for number in range(601, 701):
            five = f"{prefecture:02d}{number}"
            yield five + check_digit(five)


def _partition_figures(
    sizes: Sizes, few_intake: Measurement, few: dict[str, Measurement], many: dict[str, Measurement]
) -> list[Figure]:
    """Return the figures of both steps with notices in many partitions, compared with few.

    `few_intake`: intake with few partitions and as many municipalities.
    """
    figures = []
    for step, few_run in (("intake", few_intake), ("household", few["household"])):
        name, many_run = f"{step} with notices in {sizes.partitions:,} partitions", many[step]
        for suffix, value_of, unit in (
            ("", timing.rate, "records/s"),
            (": CPU", timing.cpu_us, "µs/record"),
            (": memory", timing.memory_mb, "MB"),
        ):
            figures.append(
                Figure(f"{name}, against few{suffix}", value_of(many_run.runs), value_of(few_run.runs), unit)
            )
        figures.append(
            Figure(
                f"{name}: process to first committed batch",
                many_run.first_batch_s,
                few_run.first_batch_s,
                "s",
            )
        )
    return figures


class _Scale:
    """Measurements on one set of servers; persons and notice numbers count on from measurement to measurement."""

    def __init__(self, cluster: BenchCluster, sizes: Sizes, progress: Progress) -> None:
        self._cluster, self._sizes, self._progress, self._first = cluster, sizes, progress, 0

    def apply(self, municipalities: Sequence[str]) -> tuple[float, ApplySummary]:
        """Run `mesh apply` and return its seconds and summary."""
        cluster, begun = self._cluster, time.monotonic()
        summary = reconcile.apply(cluster.environment, cluster.installation, municipalities)
        seconds = time.monotonic() - begun
        self._progress(
            f"  apply of {len(municipalities):,} more municipalities: {summary.changes:,} changes, {seconds:.1f} s"
        )
        return seconds, summary

    def measure_intake(self, municipalities: Sequence[str]) -> Measurement:
        """Measure intake with submissions of all these municipalities, by a new worker each round."""
        starts = [self._measure_start(municipalities) for _ in range(self._sizes.rounds)]
        count = self._sizes.records
        task = Task(count, self._sizes.warm_up(count), str(self._cluster.folder / "sides"))
        sides: dict[str, Callable[[], timing.Run]] = {
            f"intake, {len(municipalities):,} municipalities": lambda: run_side("step.intake", task)
        }
        (runs,) = timing.alternate(
            sides, self._sizes.rounds, lambda: self._submit(municipalities, count), self._progress
        ).values()
        return Measurement(runs, statistics.median(starts))

    def measure_both_steps(self, municipalities: Sequence[str]) -> dict[str, Measurement]:
        """Measure intake, then household, with the same notices; one worker of each has all partitions."""
        count = self._sizes.records_many_partitions
        task = Task(count, self._sizes.warm_up(count), str(self._cluster.folder / "sides"))
        starts, runs = defaultdict[str, list[float]](list), defaultdict[str, list[timing.Run]](list)
        partitions = self._cluster.topics.partitions(NOTICE)
        for number in range(self._sizes.rounds):
            self._submit(municipalities, WAITING_NOTICES)
            for step in ("intake", "household"):
                starts[step].append(workers.first_batch_s(self._cluster, step))
            self._submit(municipalities, count)
            for step in starts:
                run = run_side(f"step.{step}", task)
                runs[step].append(run)
                self._progress(
                    f"  round {number + 1} of {self._sizes.rounds}: {step}, {partitions:,} partitions of notices"
                    f" {run.rate:>9,.0f}/s  {run.cpu_us:6.2f} µs CPU, first after {starts[step][-1]:.1f} s"
                )
        return {step: Measurement(runs[step], statistics.median(starts[step])) for step in starts}

    def _measure_start(self, municipalities: Sequence[str]) -> float:
        self._submit(municipalities, WAITING_NOTICES)
        return workers.first_batch_s(self._cluster, "intake")

    def _submit(self, municipalities: Sequence[str], count: int) -> None:
        self._cluster.topics.produce(intake.submissions(self._cluster, count, self._first, municipalities))
        self._first += count
