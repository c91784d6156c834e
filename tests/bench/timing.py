"""What one side of a comparison took, and how sides alternate."""

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
    """One run of one side: so many records in so many seconds, CPU of all its process's threads, greatest memory.

    `folded_s` is how long of it the rules themselves took, where a side tells.
    """

    records: int
    seconds: float
    cpu_s: float
    memory_mb: float
    folded_s: float = 0.0

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU a record, µs."""
        return 1e6 * self.cpu_s / self.records

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


class Stopwatch:
    """Counts records, a batch at a time; measures from the moment when `warm` of them are done until all `records` are.

    So neither the start of a process, nor the join of a group, nor the first use of anything is measured.
    """

    def __init__(self, records: int, warm: int) -> None:
        self._records, self._warm, self.seen = records, warm, 0
        self._begun: tuple[int, float, float] | None = None
        self._ended: Run | None = None

    @property
    def done(self) -> bool:
        """Whether all records are."""
        return self._ended is not None

    @property
    def run(self) -> Run:
        """What was measured. ValueError before all is done."""
        if self._ended is None:
            raise ValueError("not all records are done")
        return self._ended

    def add(self, records: int, ahead: int = 0) -> None:
        """So many more are done; and so many were worked on ahead, which don't count as measured from here on."""
        self.seen += records
        if self._begun is None and self.seen >= self._warm:
            if self.seen >= self._records:
                raise ValueError("one batch is all: nothing is left to be measured")
            self._begun = (self.seen + ahead, time.perf_counter(), time.process_time())
        elif self._begun is not None and self._ended is None and self.seen >= self._records:
            seen, at, cpu_s = self._begun
            took = time.perf_counter() - at, time.process_time() - cpu_s
            self._ended = Run(self.seen - seen, *took, round(greatest_memory_bytes() / 1e6, 1))


def greatest_memory_bytes() -> int:
    """The most memory (RSS) that this process has had."""
    # What getrusage says of a child on Linux is not less than what its parent had when it was started.
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
    before: Callable[[], None],
    say: Callable[[str], None],
) -> dict[str, list[Run]]:
    """Each side once a round, in turn; `before` each round. The order turns round every other round."""
    found: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(rounds):
        before()
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            run = sides[name]()
            found[name].append(run)
            say(
                f"  round {number + 1} of {rounds}: {name:32} {run.rate:>9,.0f}/s  {run.cpu_us:6.2f} µs CPU"
                f"  {run.memory_mb:6.0f} MB"
            )
    return found


def median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    """The middle of what the runs took."""
    return statistics.median(of(run) for run in runs)


def rate(runs: Sequence[Run]) -> float:
    """Records a second, median."""
    return median(runs, lambda run: run.rate)


def cpu_us(runs: Sequence[Run]) -> float:
    """CPU a record in µs, median."""
    return median(runs, lambda run: run.cpu_us)


def memory_mb(runs: Sequence[Run]) -> float:
    """The greatest memory of a run, median."""
    return median(runs, lambda run: run.memory_mb)
