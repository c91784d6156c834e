"""(a), (d) Household, then fan-out, compared with the bare loop, a record at a time, and Quix Streams.

Each step has servers of its own; a round is a synthetic city and a month of changes.
"""

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
    PROTECTION,
    change_topic,
    state_topic,
    topics_of,
)
from tests.bench import city, log, quix, timing
from tests.bench.cluster import BenchCluster, running_cluster
from tests.bench.figures import Figure, at_least
from tests.bench.log import PreparedRecord
from tests.bench.side import Task, run_side
from tests.bench.sides.rules import RULES
from tests.bench.sizes import Progress, Sizes

GOAL: Final = at_least(3)
PREFIX: Final = "bench."
STEP, BARE, BY_RECORD, QUIX = "step", "bare loop", "a record at a time", "Quix Streams"


@dataclass(frozen=True)
class StatefulStep:
    """A step and its topics; `make_input` makes its input records of a city, a copy per number; `copies` per round."""

    name: str
    input: str
    outputs: Sequence[str]
    make_input: Callable[[BenchCluster, city.BenchCity, Sequence[int]], list[PreparedRecord]]
    copies: int


_REJECTED: Final = sorted(topic.name for topic in topics_of(()) if topic.name.startswith("rejected."))
STEPS: Final[Mapping[str, StatefulStep]] = {
    "household": StatefulStep(
        "household", NOTICE, [PERSON_CHANGE, CASE_OPENED, *_REJECTED], city.notices, copies=8
    ),
    "fan-out": StatefulStep(
        "fan-out",
        PERSON_CHANGE,
        [*map(change_topic, DOMAINS), CASE_DISPATCHED, CONFLICT, PROTECTION, *_REJECTED],
        city.changes,
        copies=2,
    ),
}


@dataclass(frozen=True)
class StepRuns:
    """The runs of each side of a step, and the step's input and output records per city."""

    step: str
    runs: Mapping[str, Sequence[timing.Run]]
    records: float
    outputs: float

    def seconds(self, side: str) -> float:
        """Return the seconds that a side takes for a city."""
        return self.records / timing.rate(self.runs[side])


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare each step with the bare loop, a record at a time and Quix Streams, and both together with the latter."""
    note = ""
    try:
        python = quix.install(folder, progress)
    except quix.UnavailableError as error:
        python, note = None, str(error)
    measured = []
    for step in STEPS:
        # The output of household isn't the input of fan-out here, so each step has empty servers of its own.
        with running_cluster(folder) as cluster:
            measured.append(StatefulComparison(cluster, step, sizes, python, progress).run())
    return [
        *(figure for step_runs in measured for figure in _step_figures(step_runs)),
        *_quix_figures(measured, note),
    ]


class StatefulComparison:
    """The sides of one step on empty servers; each round processes copies of the city that are new to all sides."""

    def __init__(
        self, cluster: BenchCluster, step: str, sizes: Sizes, python: Path | None, progress: Progress
    ) -> None:
        self._cluster, self._step, self._sizes, self._progress = cluster, STEPS[step], sizes, progress
        self._quix_python = str(python) if python else None
        self._city = city.BenchCity.of(cluster, sizes.residents)
        self._numbers = itertools.count(1)
        self._outputs = cluster.folder / f"{step}.outputs.arrow"
        self._records = 0

    def run(self) -> StepRuns:
        """Check that the step and a record at a time write the same records, then measure all sides."""
        changelog = f"{PREFIX}changelog.{self._step.name}"
        for topic in self._step.outputs:
            self._cluster.topics.create([PREFIX + topic], self._cluster.topics.partitions(topic))
        self._cluster.topics.create([changelog], self._cluster.topics.partitions(self._step.input))
        outputs = self._prepare(changelog)
        sides = {
            STEP: self._run_step,
            BARE: self._run_bare_loop,
            BY_RECORD: lambda: self._run_by_record(changelog),
        }
        if self._quix_python:
            sides[QUIX] = self._run_quix
            self._run_quix()
        runs = timing.alternate(sides, self._sizes.rounds, self._produce, self._progress)
        copies = self._step.copies
        return StepRuns(self._step.name, runs, self._records / copies, outputs / copies)

    def _produce(self) -> None:
        numbers = [next(self._numbers) for _ in range(self._step.copies)]
        records = self._step.make_input(self._cluster, self._city, numbers)
        self._records = len(records)
        self._cluster.topics.produce(records)

    def _prepare(self, changelog: str) -> int:
        """Save the step's output for the bare loop, and return its number of records.

        Raise RuntimeError if a record at a time writes other records.
        """
        self._produce()
        self._progress(f"{self._step.name}: {self._records:,} records a round")
        self._run_step()
        outputs = self._cluster.topics.read(*self._step.outputs)
        state_changes = self._cluster.topics.read(
            *(state_topic(self._step.name, store) for store in RULES[self._step.name].stores)
        )
        self._run_by_record(changelog)
        by_record = self._cluster.topics.read(*(PREFIX + topic for topic in self._step.outputs))
        differing = _contents(by_record, PREFIX) - _contents(outputs)
        if differing or len(outputs) != len(by_record):
            raise RuntimeError(
                f"{self._step.name}: {len(differing)} of {len(by_record)} records of a record at a time differ"
            )
        # The alternatives have one changelog for all stores of the step, with the same partitions.
        log.save(
            self._outputs,
            [record._replace(partition=-1, timestamp_ms=0) for record in outputs]
            + [
                record._replace(topic=changelog.removeprefix(PREFIX), timestamp_ms=0)
                for record in state_changes
            ],
        )
        self._progress(
            f"  {len(outputs):,} output records, the same as by a record at a time;"
            f" {len(state_changes):,} changes of state"
        )
        return len(outputs)

    def _run_step(self) -> timing.Run:
        return run_side(f"step.{self._step.name}", self._task())

    def _run_bare_loop(self) -> timing.Run:
        return run_side(
            "bare",
            self._task(
                name=f"bare.{self._step.name}",
                inputs=[self._step.input],
                outputs=str(self._outputs),
                input_records=self._records,
                prefix=PREFIX,
            ),
        )

    def _run_by_record(self, changelog: str) -> timing.Run:
        side = f"stateful_by_record.{self._step.name}"
        return run_side(side, self._task(prefix=PREFIX, changelog=changelog))

    def _run_quix(self) -> timing.Run:
        state = str(self._cluster.folder / "home" / "quix")
        task = self._task(prefix=PREFIX, outputs=list(self._step.outputs), state=state)
        return run_side(f"quix.{self._step.name}", task, self._quix_python or sys.executable)

    def _task(self, **options: Any) -> Task:
        warm_up, folder = self._sizes.warm_up(self._records), str(self._cluster.folder / "sides")
        return Task(self._records, warm_up, folder, options)


def _step_figures(measured: StepRuns) -> list[Figure]:
    name, runs = measured.step, measured.runs
    step, bare, by_record = runs[STEP], runs[BARE], runs[BY_RECORD]
    rate, cpu = timing.rate, timing.cpu_us
    return [
        Figure(f"{name}: against the bare loop", rate(step), rate(bare), "records/s"),
        Figure(f"{name}: against a record at a time", rate(step), rate(by_record), "records/s"),
        Figure(f"{name}: CPU, against the bare loop", cpu(step), cpu(bare), "µs/record"),
        Figure(f"{name}: CPU, against a record at a time", cpu(step), cpu(by_record), "µs/record"),
        Figure(
            f"{name}: CPU of rules and state reads, against all of its CPU",
            _rules_us(by_record),
            cpu(step),
            "µs/record",
        ),
        Figure(f"{name}: memory", timing.memory_mb(step), None, "MB"),
    ]


def _quix_figures(measured: Sequence[StepRuns], note: str) -> list[Figure]:
    """Return the figures of both steps together and of each; `note` says why Quix Streams isn't available."""
    name, unit = "household and fan-out: against Quix Streams", "outputs/s"
    if note:
        return [Figure(name, _outputs_per_second(measured, STEP), None, unit, GOAL, note)]
    figures = [
        Figure(name, _outputs_per_second(measured, STEP), _outputs_per_second(measured, QUIX), unit, GOAL)
    ]
    for step_runs in measured:
        step, quix_runs = step_runs.runs[STEP], step_runs.runs[QUIX]
        figures += [
            Figure(
                f"{step_runs.step}: against Quix Streams",
                timing.rate(step),
                timing.rate(quix_runs),
                "records/s",
            ),
            Figure(
                f"{step_runs.step}: CPU, against Quix Streams",
                timing.cpu_us(step),
                timing.cpu_us(quix_runs),
                "µs/record",
            ),
            Figure(
                f"{step_runs.step}: CPU of rules and state reads in Quix Streams, against all of its CPU",
                _rules_us(quix_runs),
                timing.cpu_us(quix_runs),
                "µs/record",
            ),
        ]
    return figures


def _outputs_per_second(measured: Sequence[StepRuns], side: str) -> float:
    """Return the output records per second of a city that passes both steps, one after the other."""
    outputs = sum(step_runs.outputs for step_runs in measured)
    return outputs / sum(step_runs.seconds(side) for step_runs in measured)


def _rules_us(runs: Sequence[timing.Run]) -> float:
    return timing.median(runs, lambda run: 1e6 * run.rules_s / run.records)


def _contents(
    records: Sequence[PreparedRecord], prefix: str = ""
) -> Counter[tuple[str, bytes | None, bytes | None]]:
    return Counter((record.topic.removeprefix(prefix), record.key, record.value) for record in records)
