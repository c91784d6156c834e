"""Measurement of one side of a comparison, and the alternation of sides."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """One run of one side: records, seconds, CPU of all the process's threads, and maximum memory.

    `rules_s` is the part of the time spent in the rules themselves, if the side measures it.
    """

    records: int
    seconds: float
    cpu_s: float
    memory_mb: float
    rules_s: float = 0.0

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU per record in µs."""
        return 1e6 * self.cpu_s / self.records

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


class Stopwatch:
    """Measures a side from the moment when it has done `warm_up` records until it has done all `records`.

    Therefore the start of a process, joining a group and the first use of anything are not measured.
    """

    def __init__(self, records: int, warm_up: int) -> None:
        self._records, self._warm_up, self.done_records = records, warm_up, 0
        self._begun: tuple[int, float, float] | None = None
        self._run: Run | None = None

    @property
    def done(self) -> bool:
        """Whether all records are done."""
        return self._run is not None

    @property
    def run(self) -> Run:
        """The measured run. Raises ValueError before all records are done."""
        if self._run is None:
            raise ValueError("not all records are done")
        return self._run

    def record_batch(self, records: int) -> None:
        """Count `records` more as done. Raise ValueError if nothing is left to measure after the warm-up."""
        self.done_records += records
        if self._begun is None and self.done_records >= self._warm_up:
            if self.done_records >= self._records:
                raise ValueError("one batch has all records: nothing is left to be measured")
            self._begun = (self.done_records, time.perf_counter(), time.process_time())
        elif self._begun is not None and self._run is None and self.done_records >= self._records:
            records_before, begun, cpu_before_s = self._begun
            seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_before_s
            self._run = Run(
                self.done_records - records_before, seconds, cpu_s, round(max_memory_bytes() / 1e6, 1)
            )


def max_memory_bytes() -> int:
    """Return the maximum memory (RSS) that this process has used."""
    # On Linux getrusage never reports less for a child than its parent had when the child was started.
    status = Path("/proc/self/status")
    if status.exists():
        return (
            int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
            * 1_024
        )
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def alternate(
    sides: Mapping[str, Callable[[], Run]],
    rounds: int,
    before_round: Callable[[], None],
    progress: Callable[[str], None],
) -> dict[str, list[Run]]:
    """Run each side once per round and return the runs by side.

    Call `before_round` at the start of each round. Every second round has the reverse order, so no side always runs
    first.
    """
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(rounds):
        before_round()
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            run = sides[name]()
            runs[name].append(run)
            progress(
                f"  round {number + 1} of {rounds}: {name:32} {run.rate:>9,.0f}/s  {run.cpu_us:6.2f} µs CPU"
                f"  {run.memory_mb:6.0f} MB"
            )
    return runs


def median(runs: Sequence[Run], value_of: Callable[[Run], float]) -> float:
    """Return the median of a value of the runs."""
    return statistics.median(value_of(run) for run in runs)


def rate(runs: Sequence[Run]) -> float:
    """Return the median of records per second."""
    return median(runs, lambda run: run.rate)


def cpu_us(runs: Sequence[Run]) -> float:
    """Return the median of CPU per record in µs."""
    return median(runs, lambda run: run.cpu_us)


def memory_mb(runs: Sequence[Run]) -> float:
    """Return the median of the runs' maximum memory in MB."""
    return median(runs, lambda run: run.memory_mb)
