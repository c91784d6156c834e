"""What many municipalities cost: `mesh apply`, the start of intake behind all their topics, its rate and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from infra.apply.steps import Applied, apply
from schemas.municipalities import check_digit
from tests.bench import intake, timing, workers
from tests.bench.figures import Figure
from tests.bench.place import MUNICIPALITIES, Place, running
from tests.bench.side import Task, start
from tests.bench.sizes import Say, Sizes

#: Waiting for a worker that is started.
NOTICES: Final = 100


@dataclass(frozen=True)
class Behind:
    """Intake behind the topics of so many municipalities."""

    runs: Sequence[timing.Run]
    first_batch_s: float


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Intake behind a few municipalities, then behind many, on the same servers; and what it takes to admit them."""
    every = list(islice(codes(), sizes.municipalities))
    with running(folder) as place:
        scale = _Scale(place, sizes, say)
        few = scale.behind(MUNICIPALITIES)
        first_s, made = scale.admitted(every[:-1])
        again_s, new = scale.admitted([])
        if new.changes:
            raise RuntimeError(f"apply with nothing new made {new.changes} changes")
        one_more_s, _ = scale.admitted(every[-1:])
        many = scale.behind(every)
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
    ]


def codes() -> Iterator[str]:
    """The municipalities of the other parts, then invented ones with the right check digit."""
    yield from MUNICIPALITIES
    for prefecture in range(1, 48):
        for number in range(601, 701):
            five = f"{prefecture:02d}{number}"
            yield five + check_digit(five)


class _Scale:
    def __init__(self, place: Place, sizes: Sizes, say: Say) -> None:
        self._place, self._sizes, self._say, self._first = place, sizes, say, 0

    def admitted(self, municipalities: Sequence[str]) -> tuple[float, Applied]:
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

    def _start(self, municipalities: Sequence[str]) -> float:
        self._feed(municipalities, NOTICES)
        return workers.first_batch_s(self._place, "intake")

    def _feed(self, municipalities: Sequence[str], count: int) -> None:
        self._place.log.feed(intake.hand_overs(self._place, count, self._first, municipalities))
        self._first += count
