"""(a), (d) A stateful step against the bare loop, against itself a record at a time, and against Quix Streams."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.systems import DOMAINS
from schemas.topics import (
    CASE_DISPATCHED,
    CASE_OPENED,
    CONFLICT,
    NOTICE,
    PERSON_CHANGE,
    change_topic,
    state_topic,
    topics_of,
)
from tests.bench import city, log, timing
from tests.bench.cluster import BenchCluster
from tests.bench.figures import Figure
from tests.bench.log import Prepared
from tests.bench.side import Task, start
from tests.bench.sides.rules import RULES
from tests.bench.sizes import Say, Sizes

PREFIX: Final = "bench."
OURS, BARE, BY_RECORD, QUIX = "ours", "bare loop", "a record at a time", "Quix Streams"


@dataclass(frozen=True)
class Stateful:
    """The step; `feed` makes its input of a city, `copies` so many cities a round."""

    name: str
    input: str
    outputs: Sequence[str]
    feed: Callable[[BenchCluster, city.BenchCity, Sequence[int]], list[Prepared]]
    copies: int


_REJECTED: Final = sorted(each.name for each in topics_of(()) if each.name.startswith("rejected."))
STEPS: Final[Mapping[str, Stateful]] = {
    "household": Stateful(
        "household", NOTICE, [PERSON_CHANGE, CASE_OPENED, *_REJECTED], city.notices, copies=8
    ),
    "fan-out": Stateful(
        "fan-out",
        PERSON_CHANGE,
        [*map(change_topic, DOMAINS), CASE_DISPATCHED, CONFLICT, *_REJECTED],
        city.changes,
        copies=2,
    ),
}


@dataclass(frozen=True)
class Measured:
    """The runs of each side of a step; how many records of a city go in, and how many come out."""

    step: str
    runs: Mapping[str, Sequence[timing.Run]]
    records: float
    outputs: float

    def seconds(self, side: str) -> float:
        """How long a side takes for a city."""
        return self.records / timing.rate(self.runs[side])


class Comparison:
    """One step's sides on servers that hold nothing yet; each round is fed cities that nobody knows."""

    def __init__(self, place: BenchCluster, step: str, sizes: Sizes, python: Path | None, say: Say) -> None:
        self._place, self._step, self._sizes, self._say = place, STEPS[step], sizes, say
        self._quix = str(python) if python else None
        self._city = city.BenchCity.of(place, sizes.residents)
        self._numbers = itertools.count(1)
        self._outputs = place.folder / f"{step}.outputs.arrow"
        self._records = 0

    def run(self) -> Measured:
        """All sides, after what comes out was seen to be the same."""
        changelog = f"{PREFIX}changelog.{self._step.name}"
        for topic in self._step.outputs:
            self._place.log.create([PREFIX + topic], self._place.log.partitions(topic))
        self._place.log.create([changelog], self._place.log.partitions(self._step.input))
        made = self._prepare(changelog)
        sides = {OURS: self._ours, BARE: self._bare, BY_RECORD: lambda: self._by_record(changelog)}
        if self._quix:
            sides[QUIX] = self._by_quix
            self._by_quix()
        runs = timing.alternate(sides, self._sizes.rounds, self._feed, self._say)
        copies = self._step.copies
        return Measured(self._step.name, runs, self._records / copies, made / copies)

    def _feed(self) -> None:
        numbers = [next(self._numbers) for _ in range(self._step.copies)]
        records = self._step.feed(self._place, self._city, numbers)
        self._records = len(records)
        self._place.log.feed(records)

    def _prepare(self, changelog: str) -> int:
        """Once beforehand: what comes out is kept for the bare loop, and a record at a time must give the same."""
        self._feed()
        self._say(f"{self._step.name}: {self._records:,} records a round")
        self._ours()
        made = self._place.log.read(*self._step.outputs)
        kept = self._place.log.read(
            *(state_topic(self._step.name, store) for store in RULES[self._step.name].stores)
        )
        self._by_record(changelog)
        others = self._place.log.read(*(PREFIX + topic for topic in self._step.outputs))
        if (differ := _content(others, PREFIX) - _content(made)) or len(made) != len(others):
            raise RuntimeError(
                f"{self._step.name}: a record at a time gives {len(differ)} others of {len(others)}"
            )
        # The changelogs' records are told apart by partition alone: each topic of ours has one of theirs.
        log.save(
            self._outputs,
            [each._replace(partition=-1, timestamp_ms=0) for each in made]
            + [each._replace(topic=changelog.removeprefix(PREFIX), timestamp_ms=0) for each in kept],
        )
        self._say(
            f"  {len(made):,} records come out, the same of a record at a time; {len(kept):,} changes of state"
        )
        return len(made)

    def _ours(self) -> timing.Run:
        return start(f"step.{self._step.name}", self._task())

    def _bare(self) -> timing.Run:
        more = {"name": f"bare.{self._step.name}", "inputs": [self._step.input], "of": self._records}
        return start("bare", self._task(**more, outputs=str(self._outputs), prefix=PREFIX))

    def _by_record(self, changelog: str) -> timing.Run:
        side = f"stateful_by_record.{self._step.name}"
        return start(side, self._task(prefix=PREFIX, changelog=changelog))

    def _by_quix(self) -> timing.Run:
        state = str(self._place.folder / "home" / "quix")
        task = self._task(prefix=PREFIX, outputs=list(self._step.outputs), state=state)
        return start(f"quix.{self._step.name}", task, self._quix or sys.executable)

    def _task(self, **more: Any) -> Task:
        return Task(self._records, self._sizes.warm(self._records), str(self._place.folder / "sides"), more)


def figures(found: Measured) -> list[Figure]:
    """Of one step."""
    name, ours, bare, by_record = found.step, *(found.runs[side] for side in (OURS, BARE, BY_RECORD))
    rate, cpu = timing.rate, timing.cpu_us
    return [
        Figure(f"{name}: against the bare loop", rate(ours), rate(bare), "records/s"),
        Figure(f"{name}: against a record at a time", rate(ours), rate(by_record), "records/s"),
        Figure(f"{name}: CPU, against the bare loop", cpu(ours), cpu(bare), "µs/record"),
        Figure(f"{name}: CPU, against a record at a time", cpu(ours), cpu(by_record), "µs/record"),
        Figure(
            f"{name}: the rules and the state they read, of all of ours",
            _folded_us(by_record),
            cpu(ours),
            "µs/record",
        ),
        Figure(f"{name}: memory", timing.memory_mb(ours), None, "MB"),
    ]


def against_quix(found: Sequence[Measured], goal: Any, missing: str) -> list[Figure]:
    """Of the steps together, and of each; `missing` says why Quix Streams can't be had."""
    name, unit = "household with fan-out: against Quix Streams", "outputs/s"
    if missing:
        return [Figure(name, _outputs_a_second(found, OURS), None, unit, goal, missing)]
    each = [
        figure
        for one in found
        for figure in (
            Figure(
                f"{one.step}: against Quix Streams",
                timing.rate(one.runs[OURS]),
                timing.rate(one.runs[QUIX]),
                "records/s",
            ),
            Figure(
                f"{one.step}: CPU, against Quix Streams",
                timing.cpu_us(one.runs[OURS]),
                timing.cpu_us(one.runs[QUIX]),
                "µs/record",
            ),
            Figure(
                f"{one.step}: the rules and the state they read, of all of Quix Streams'",
                _folded_us(one.runs[QUIX]),
                timing.cpu_us(one.runs[QUIX]),
                "µs/record",
            ),
        )
    ]
    return [Figure(name, _outputs_a_second(found, OURS), _outputs_a_second(found, QUIX), unit, goal), *each]


def _outputs_a_second(found: Sequence[Measured], side: str) -> float:
    """Of a city through both steps, one after the other."""
    return sum(one.outputs for one in found) / sum(one.seconds(side) for one in found)


def _folded_us(runs: Sequence[timing.Run]) -> float:
    return timing.median(runs, lambda run: 1e6 * run.folded_s / run.records)


def _content(
    records: Sequence[Prepared], prefix: str = ""
) -> Counter[tuple[str, bytes | None, bytes | None]]:
    return Counter((each.topic.removeprefix(prefix), each.key, each.value) for each in records)
