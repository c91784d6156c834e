"""(c), (e), (f) The whole way, notice to store: CPU against its parts alone, memory, time from publish to store."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from infra.codec import codec
from infra.demo import measure as receipts
from infra.monitoring.waiting import wait_idle
from tests.bench import intake, workers
from tests.bench.cluster import BenchCluster, running
from tests.bench.figures import Figure, at_most
from tests.bench.sizes import Say, Sizes

IDLE_TIMEOUT_S: Final = 300.0
#: The steps alone, in the order in which a notice passes, and how many stages are done after each: conversion turns
#: the receipts back in the end.
ALONE: Final = (*workers.STAGES.items(), ("conversion", 12))
#: Shares of the highest rate at which the time from publish to store is looked at, and the goal at one of them.
LOADS: Final = (0.1, 0.5, 0.8)
GOAL_AT: Final = 0.5
GOAL: Final = at_most(1)
_TICK_S: Final = 0.02


@dataclass(frozen=True)
class Passed:
    """What some notices cost on the whole way: CPU of each step in µs a notice, memory in MB, notices a second."""

    cpu_us: dict[str, float]
    memory_mb: dict[str, float]
    rate: float = 0.0

    @property
    def total_us(self) -> float:
        """Of all steps."""
        return sum(self.cpu_us.values())


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """All workers at once against one after the other; then the time that notices take at three loads."""
    with running(folder) as place:
        way = _Way(place, sizes.records // 5, say)
        rounds = [(way.alone(), way.together()) for _ in range(sizes.rounds)]
        alone, together = [one for one, _ in rounds], [both for _, both in rounds]
        highest = statistics.median(each.rate for each in together)
        return [*_costs(alone, together), *way.latencies(highest, sizes.load_s)]


class _Way:
    """Notices of people whom nobody knows, `count` at a time."""

    def __init__(self, place: BenchCluster, count: int, say: Say) -> None:
        self._place, self._count, self._say, self._first = place, count, say, 0

    def alone(self) -> Passed:
        """One worker after the other, each with all of it before it."""
        # Nothing is before the workers: what a start costs now, the state of all before restored, is not counted.
        with workers.running(self._place) as idle:
            start_s = idle.cpu_s()
        self._feed(self._count)
        cpu_s = dict.fromkeys(workers.STEPS, 0.0)
        memory: dict[str, float] = {}
        for step, stages in ALONE:
            with workers.running(self._place, [step]) as one:
                wait_idle(
                    self._place.environment, self._place.installation, timeout_s=IDLE_TIMEOUT_S, first=stages
                )
                cpu_s[step] += one.cpu_s()[step] - start_s[step]
                memory |= one.memory_mb()
        return self._passed("one after the other", cpu_s, memory, 0.0)

    def together(self) -> Passed:
        """All workers, which run when it comes."""
        with workers.running(self._place) as every:
            before_s, begun = every.cpu_s(), time.monotonic()
            self._feed(self._count)
            wait_idle(self._place.environment, self._place.installation, timeout_s=IDLE_TIMEOUT_S)
            rate = self._count / (time.monotonic() - begun)
            cpu_s = {step: took_s - before_s[step] for step, took_s in every.cpu_s().items()}
            memory = every.memory_mb()
        return self._passed("all at once", cpu_s, memory, rate)

    def latencies(self, highest: float, load_s: float) -> list[Figure]:
        """Publish to store, of notices that come evenly at shares of the highest rate."""
        found = []
        with workers.running(self._place):
            # What only the first notice of a worker pays for is not looked at.
            self._feed(100)
            wait_idle(self._place.environment, self._place.installation, timeout_s=IDLE_TIMEOUT_S)
            for share in LOADS:
                begun_ms, ended_ms = self._publish_evenly(highest * share, load_s)
                wait_idle(self._place.environment, self._place.installation, timeout_s=IDLE_TIMEOUT_S)
                found.append((share, begun_ms, ended_ms))
            table = self._receipts()
        figures = []
        for share, begun_ms, ended_ms in found:
            took = receipts.latency(table, f"{share:.0%}", begun_ms, ended_ms)
            name = f"publish to store at {share:.0%} of the highest rate ({highest * share:,.0f} notices/s)"
            goal = GOAL if share == GOAL_AT else None
            self._say(
                f"  {name}: median {took.median_s:.3f} s, 99 of 100 {took.p99_s:.3f} s, {took.changes:,}"
            )
            figures += [
                Figure(f"{name}, median", took.median_s, None, "s"),
                Figure(f"{name}, 99 of 100 within", took.p99_s, None, "s", goal),
            ]
        return figures

    def _feed(self, count: int) -> None:
        self._place.log.feed(intake.hand_overs(self._place, count, self._first))
        self._first += count

    def _publish_evenly(self, rate: float, seconds: float) -> tuple[int, int]:
        """When it began and ended, ms: a few at a time, by the clock and not by what the mesh can take."""
        records = intake.hand_overs(self._place, int(rate * seconds), self._first)
        self._first += len(records)
        begun_ms, begun, sent = int(time.time() * 1_000), time.monotonic(), 0
        with self._place.log.publisher() as publish:
            while sent < len(records):
                due = min(len(records), int(rate * (time.monotonic() - begun)) + 1)
                publish(records[sent:due], _TICK_S)
                sent = due
        return begun_ms, int(time.time() * 1_000) + 1

    def _receipts(self) -> pa.Table:
        place = self._place
        return receipts.figures(place.environment, codec(place.environment, place.installation)).receipts

    def _passed(self, how: str, cpu_s: dict[str, float], memory: dict[str, float], rate: float) -> Passed:
        passed = Passed({step: 1e6 * took / self._count for step, took in cpu_s.items()}, memory, rate)
        told = ", ".join(f"{step} {took:.0f}" for step, took in passed.cpu_us.items())
        fast = f", {rate:,.0f} notices/s" if rate else ""
        self._say(f"  {how}: {passed.total_us:.0f} µs of CPU a notice ({told}){fast}")
        return passed


def _costs(alone: Sequence[Passed], together: Sequence[Passed]) -> list[Figure]:
    def middle(runs: Sequence[Passed], step: str) -> float:
        return statistics.median(each.cpu_us[step] for each in runs)

    sides, unit = (together, alone), "µs/notice"
    both, parts = (statistics.median(each.total_us for each in runs) for runs in sides)
    rate = statistics.median(each.rate for each in together)
    memory = statistics.median(sum(each.memory_mb.values()) for each in together)
    found = [Figure("whole way: CPU, against the sum of its parts alone", both, parts, unit, at_most(1.25))]
    for step in workers.STEPS:
        with_others, by_itself = (middle(runs, step) for runs in sides)
        found.append(Figure(f"whole way: CPU of {step}, against it alone", with_others, by_itself, unit))
    return [
        *found,
        Figure("whole way: highest rate, one worker of each step", rate, None, "notices/s"),
        Figure("whole way: memory of all workers", memory, None, "MB"),
    ]
