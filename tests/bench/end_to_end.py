"""(c), (e), (f) Notice to store: CPU compared with each step alone, memory, and time from publish to store."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from infra.coding import codec
from infra.demo import measure as receipt_times
from infra.monitoring.waiting import wait_idle
from tests.bench import intake, workers
from tests.bench.cluster import BenchCluster, running_cluster
from tests.bench.figures import Figure, at_most
from tests.bench.sizes import Progress, Sizes

IDLE_TIMEOUT_S: Final = 300.0
#: Steps in the order in which they run alone, with the number of idle stages after each. Conversion runs again at the
#: end, for the receipts.
ALONE: Final = (*workers.IDLE_STAGES.items(), ("conversion", workers.IDLE_STAGES["sink"] + 1))
#: Shares of the highest rate at which the time from publish to store is measured; one of them has a goal.
LOADS: Final = (0.1, 0.5, 0.8)
GOAL_AT: Final = 0.5
GOAL: Final = at_most(1)
_TICK_S: Final = 0.02


@dataclass(frozen=True)
class Cost:
    """Cost of notices from input topic to store: CPU in µs per notice and memory in MB by step, notices per second."""

    cpu_us: dict[str, float]
    memory_mb: dict[str, float]
    rate: float = 0.0

    @property
    def total_us(self) -> float:
        """CPU of all steps in µs per notice."""
        return sum(self.cpu_us.values())


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare all workers at once with one after the other, then measure the latency at three loads."""
    with running_cluster(folder) as cluster:
        end_to_end = _EndToEnd(cluster, sizes.records // 5, progress)
        rounds = [(end_to_end.alone(), end_to_end.together()) for _ in range(sizes.rounds)]
        alone, together = [cost for cost, _ in rounds], [cost for _, cost in rounds]
        highest = statistics.median(cost.rate for cost in together)
        return [*_costs(alone, together), *end_to_end.latencies(highest, sizes.load_s)]


class _EndToEnd:
    """Measurements with notices of new people, `count` at a time."""

    def __init__(self, cluster: BenchCluster, count: int, progress: Progress) -> None:
        self._cluster, self._count, self._progress, self._first = cluster, count, progress, 0

    def alone(self) -> Cost:
        """Run one worker after the other, each with all its records waiting."""
        # Start the workers with nothing to do: the CPU of a start, which restores the state of all earlier notices, is
        # subtracted below.
        with workers.running_workers(self._cluster) as idle:
            start_s = idle.cpu_s()
        self._publish(self._count)
        cpu_s = dict.fromkeys(workers.STEPS, 0.0)
        memory: dict[str, float] = {}
        for step, stages in ALONE:
            with workers.running_workers(self._cluster, [step]) as worker:
                wait_idle(
                    self._cluster.environment,
                    self._cluster.installation,
                    timeout_s=IDLE_TIMEOUT_S,
                    first=stages,
                )
                cpu_s[step] += worker.cpu_s()[step] - start_s[step]
                memory |= worker.memory_mb()
        return self._cost("one after the other", cpu_s, memory, 0.0)

    def together(self) -> Cost:
        """Run all workers at once, started before the notices are published."""
        with workers.running_workers(self._cluster) as all_workers:
            before_s, begun = all_workers.cpu_s(), time.monotonic()
            self._publish(self._count)
            wait_idle(self._cluster.environment, self._cluster.installation, timeout_s=IDLE_TIMEOUT_S)
            rate = self._count / (time.monotonic() - begun)
            cpu_s = {step: after_s - before_s[step] for step, after_s in all_workers.cpu_s().items()}
            memory = all_workers.memory_mb()
        return self._cost("all at once", cpu_s, memory, rate)

    def latencies(self, highest: float, load_s: float) -> list[Figure]:
        """Measure the time from publish to store of notices published evenly, at shares of the highest rate."""
        loads = []
        with workers.running_workers(self._cluster):
            # The first notices of a worker take longer and are not measured.
            self._publish(100)
            wait_idle(self._cluster.environment, self._cluster.installation, timeout_s=IDLE_TIMEOUT_S)
            for share in LOADS:
                begun_ms, ended_ms = self._publish_evenly(highest * share, load_s)
                wait_idle(self._cluster.environment, self._cluster.installation, timeout_s=IDLE_TIMEOUT_S)
                loads.append((share, begun_ms, ended_ms))
            table = self._receipts()
        figures = []
        for share, begun_ms, ended_ms in loads:
            latency = receipt_times.latency(table, f"{share:.0%}", begun_ms, ended_ms)
            name = f"publish to store at {share:.0%} of the highest rate ({highest * share:,.0f} notices/s)"
            goal = GOAL if share == GOAL_AT else None
            self._progress(
                f"  {name}: median {latency.median_s:.3f} s, 99th percentile {latency.p99_s:.3f} s, {latency.changes:,}"
            )
            figures += [
                Figure(f"{name}, median", latency.median_s, None, "s"),
                Figure(f"{name}, 99th percentile", latency.p99_s, None, "s", goal),
            ]
        return figures

    def _publish(self, count: int) -> None:
        self._cluster.topics.produce(intake.submissions(self._cluster, count, self._first))
        self._first += count

    def _publish_evenly(self, rate: float, seconds: float) -> tuple[int, int]:
        """Publish notices at a constant rate, whatever the mesh's speed, and return begin and end in ms since 1970."""
        records = intake.submissions(self._cluster, int(rate * seconds), self._first)
        self._first += len(records)
        begun_ms, begun, sent = int(time.time() * 1_000), time.monotonic(), 0
        with self._cluster.topics.publisher() as publish:
            while sent < len(records):
                due = min(len(records), int(rate * (time.monotonic() - begun)) + 1)
                publish(records[sent:due], _TICK_S)
                sent = due
        return begun_ms, int(time.time() * 1_000) + 1

    def _receipts(self) -> pa.Table:
        cluster = self._cluster
        return receipt_times.measure(
            cluster.environment, codec(cluster.environment, cluster.installation)
        ).receipts

    def _cost(self, mode: str, cpu_s: dict[str, float], memory: dict[str, float], rate: float) -> Cost:
        cost = Cost({step: 1e6 * seconds / self._count for step, seconds in cpu_s.items()}, memory, rate)
        by_step = ", ".join(f"{step} {cpu_us:.0f}" for step, cpu_us in cost.cpu_us.items())
        rate_text = f", {rate:,.0f} notices/s" if rate else ""
        self._progress(f"  {mode}: {cost.total_us:.0f} µs of CPU a notice ({by_step}){rate_text}")
        return cost


def _costs(alone: Sequence[Cost], together: Sequence[Cost]) -> list[Figure]:
    def median(runs: Sequence[Cost], step: str) -> float:
        return statistics.median(cost.cpu_us[step] for cost in runs)

    sides, unit = (together, alone), "µs/notice"
    cpu_together, cpu_alone = (statistics.median(cost.total_us for cost in runs) for runs in sides)
    rate = statistics.median(cost.rate for cost in together)
    memory = statistics.median(sum(cost.memory_mb.values()) for cost in together)
    figures = [
        Figure(
            "end to end: CPU, against the sum of the steps alone",
            cpu_together,
            cpu_alone,
            unit,
            at_most(1.25),
        )
    ]
    for step in workers.STEPS:
        step_together, step_alone = (median(runs, step) for runs in sides)
        figures.append(
            Figure(f"end to end: CPU of {step}, against {step} alone", step_together, step_alone, unit)
        )
    return [
        *figures,
        Figure("end to end: highest rate, one worker of each step", rate, None, "notices/s"),
        Figure("end to end: memory of all workers", memory, None, "MB"),
    ]
