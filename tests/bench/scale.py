"""What many municipalities and partitions cost.

`mesh apply`, intake behind the topics of all municipalities, and household behind many partitions of notices: the start
of a worker, its rate and its memory.
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

from infra.apply.reconcile import ApplySummary, apply
from processors.household import HouseholdProcessor
from schemas.municipalities import check_digit
from schemas.topics import NOTICE, dlq_state_topic, state_topic
from tests.bench import intake, timing, workers
from tests.bench.cluster import MUNICIPALITIES, BenchCluster, running
from tests.bench.figures import Figure
from tests.bench.side import Task, start
from tests.bench.sizes import Say, Sizes

#: What household reads a notice from, and what it keeps by the same partition.
_NOTICES: Final = (
    NOTICE,
    dlq_state_topic("household"),
    *(state_topic("household", store) for store in HouseholdProcessor().stores),
)
#: Waiting for a worker that is started.
NOTICES: Final = 100


@dataclass(frozen=True)
class Behind:
    """A step behind so many topics or partitions."""

    runs: Sequence[timing.Run]
    first_batch_s: float


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Intake behind a few municipalities, then behind many, on the same servers; and what it takes to admit them."""
    every = list(islice(codes(), sizes.municipalities))
    with running(folder) as place:
        scale = _Scale(place, sizes, say)
        few_partitions = scale.through(MUNICIPALITIES)
        few = scale.behind(MUNICIPALITIES)
        first_s, made = scale.admitted(every[:-1])
        again_s, new = scale.admitted([])
        if new.changes:
            raise RuntimeError(f"apply with nothing new made {new.changes} changes")
        one_more_s, _ = scale.admitted(every[-1:])
        many = scale.behind(every)
        place.log.skip("household", NOTICE)
        for topic in _NOTICES:
            place.log.widen(topic, sizes.partitions)
        many_partitions = scale.through(every)
    count, rate, cpu, memory = len(every), timing.rate, timing.cpu_us, timing.memory_mb
    against = f"behind {count:,} municipalities, against behind {len(MUNICIPALITIES)}"
    return [
        Figure(
            f"apply: {made.topics:,} topics, {made.users:,} users, {made.rights_given:,} rights",
            first_s,
            None,
            "s",
        ),
        Figure(f"apply: of {count:,} municipalities, nothing new", again_s, None, "s"),
        Figure(f"apply: one more than {count - 1:,} municipalities", one_more_s, None, "s"),
        Figure(f"intake {against}", rate(many.runs), rate(few.runs), "records/s"),
        Figure(f"intake {against}: CPU", cpu(many.runs), cpu(few.runs), "µs/record"),
        Figure(f"intake {against}: memory", memory(many.runs), memory(few.runs), "MB"),
        Figure(
            f"intake {against}: process to first committed batch", many.first_batch_s, few.first_batch_s, "s"
        ),
        *_wide(sizes, many, few_partitions, many_partitions),
    ]


def codes() -> Iterator[str]:
    """The municipalities of the other parts, then invented ones with the right check digit."""
    yield from MUNICIPALITIES
    for prefecture in range(1, 48):
        for number in range(601, 701):
            five = f"{prefecture:02d}{number}"
            yield five + check_digit(five)


def _wide(sizes: Sizes, intake: Behind, few: dict[str, Behind], many: dict[str, Behind]) -> list[Figure]:
    """Both steps with notices in many partitions; intake against itself behind as many municipalities."""
    found = []
    for step, theirs in (("intake", intake), ("household", few["household"])):
        name, ours = f"{step}, notices in {sizes.partitions:,} partitions", many[step]
        for what, of, unit in (
            ("", timing.rate, "records/s"),
            (": CPU", timing.cpu_us, "µs/record"),
            (": memory", timing.memory_mb, "MB"),
        ):
            found.append(Figure(f"{name}, against in few{what}", of(ours.runs), of(theirs.runs), unit))
        found.append(
            Figure(f"{name}: process to first committed batch", ours.first_batch_s, theirs.first_batch_s, "s")
        )
    return found


class _Scale:
    def __init__(self, place: BenchCluster, sizes: Sizes, say: Say) -> None:
        self._place, self._sizes, self._say, self._first = place, sizes, say, 0

    def admitted(self, municipalities: Sequence[str]) -> tuple[float, ApplySummary]:
        """Seconds, and what was new."""
        place, begun = self._place, time.monotonic()
        made = apply(place.environment, place.installation, municipalities)
        took_s = time.monotonic() - begun
        self._say(
            f"  apply of {len(municipalities):,} municipalities more: {made.changes:,} changes, {took_s:.1f} s"
        )
        return took_s, made

    def behind(self, municipalities: Sequence[str]) -> Behind:
        """Rounds over all these topics; the worker is another each time."""
        starts = [self._start(municipalities) for _ in range(self._sizes.rounds)]
        count = self._sizes.records
        task = Task(count, self._sizes.warm(count), str(self._place.folder / "sides"))
        sides: dict[str, Callable[[], timing.Run]] = {
            f"intake behind {len(municipalities):,}": lambda: start("step.intake", task)
        }
        (runs,) = timing.alternate(
            sides, self._sizes.rounds, lambda: self._feed(municipalities, count), self._say
        ).values()
        return Behind(runs, statistics.median(starts))

    def through(self, municipalities: Sequence[str]) -> dict[str, Behind]:
        """Intake, then household, over the same notices of these; one worker of each has all partitions."""
        count = self._sizes.through_many
        task = Task(count, self._sizes.warm(count), str(self._place.folder / "sides"))
        starts, runs = defaultdict[str, list[float]](list), defaultdict[str, list[timing.Run]](list)
        partitions = self._place.log.partitions(NOTICE)
        for number in range(self._sizes.rounds):
            self._feed(municipalities, NOTICES)
            for step in ("intake", "household"):
                starts[step].append(workers.first_batch_s(self._place, step))
            self._feed(municipalities, count)
            for step in starts:
                run = start(f"step.{step}", task)
                runs[step].append(run)
                self._say(
                    f"  round {number + 1} of {self._sizes.rounds}: {step}, {partitions:,} partitions of notices"
                    f" {run.rate:>9,.0f}/s  {run.cpu_us:6.2f} µs CPU, first after {starts[step][-1]:.1f} s"
                )
        return {step: Behind(runs[step], statistics.median(starts[step])) for step in starts}

    def _start(self, municipalities: Sequence[str]) -> float:
        self._feed(municipalities, NOTICES)
        return workers.first_batch_s(self._place, "intake")

    def _feed(self, municipalities: Sequence[str], count: int) -> None:
        self._place.log.feed(intake.hand_overs(self._place, count, self._first, municipalities))
        self._first += count
