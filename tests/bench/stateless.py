"""Comparison of a stateless step with the bare loop of the same bytes, and with itself a record at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench import log, timing
from tests.bench.cluster import BenchCluster
from tests.bench.figures import Figure, at_least
from tests.bench.log import PreparedRecord
from tests.bench.side import Task, run_side
from tests.bench.sides.avro import Avro
from tests.bench.sizes import Progress, Sizes

#: By topic: its schema, and its field that says when the step ran.
Moments = Mapping[str, tuple[str, str]]

#: Prefix of the topics that the alternatives write.
PREFIX = "bench."


@dataclass(frozen=True)
class StatelessStep:
    """A step and its topics.

    `by_record_side` is the side that does the same a record at a time, with `options`. `own_timestamps`: the step sets
    the timestamps of its records, instead of the time of producing. `moments` are not compared.
    """

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    by_record_side: str
    options: dict[str, Any]
    goal: float
    own_timestamps: bool = True
    moments: Moments = field(default_factory=dict)


def contents(records: Iterable[Iterable[Any]], moments: Moments, avro: Avro) -> Counter[tuple[object, ...]]:
    """Count records by topic, key, value and time; without their `moments`, which differ in each run."""
    return Counter(
        (topic, key, _without_moment(value, *moments[topic], avro) if topic in moments else value, timestamp)
        for topic, key, value, timestamp, *_ in records
    )


def _without_moment(value: bytes, schema: str, moment: str, avro: Avro) -> str:
    content = avro.read(schema, value)
    del content[moment]
    return repr(content)


class StatelessComparison:
    """The sides of one step on empty servers; `records` are produced once per round."""

    def __init__(
        self,
        cluster: BenchCluster,
        step: StatelessStep,
        sizes: Sizes,
        records: Sequence[PreparedRecord],
        progress: Progress,
    ) -> None:
        self._cluster, self._step, self._sizes, self._records, self._progress = (
            cluster,
            step,
            sizes,
            records,
            progress,
        )
        self._outputs = cluster.folder / f"{step.name}.outputs.arrow"

    def run(self) -> list[Figure]:
        """Check that the step and a record at a time write the same records, then measure all sides."""
        for topic in self._step.outputs:
            self._cluster.topics.create([PREFIX + topic], self._cluster.topics.partitions(topic))
        self._progress(f"{self._step.name}: {len(self._records):,} records a round")
        self._prepare()
        sides = {
            self._step.name: self._run_step,
            "bare loop": self._run_bare_loop,
            "a record at a time": self._run_by_record,
        }
        runs = timing.alternate(sides, self._sizes.rounds, self._produce, self._progress)
        return self._figures(*(runs[name] for name in sides))

    def _produce(self) -> None:
        self._cluster.topics.produce(self._records)

    def _prepare(self) -> None:
        """Save the step's output for the bare loop, and check that a record at a time writes the same.

        Raise RuntimeError if it doesn't.
        """
        self._produce()
        self._run_step()
        step_output = self._read_output()
        log.save(self._outputs, step_output)
        self._run_by_record()
        by_record_output = self._read_output(PREFIX)
        differing = self._contents(by_record_output) - self._contents(step_output)
        if differing or not by_record_output:
            raise RuntimeError(
                f"{self._step.name}: {len(differing)} of {len(by_record_output)} records"
                " of a record at a time differ from the step's"
            )
        self._progress(
            f"  {len(step_output):,} output records;"
            f" {len(by_record_output):,} of a record at a time are the same"
        )

    def _contents(self, records: Sequence[PreparedRecord]) -> Counter[tuple[object, ...]]:
        return contents(records, self._step.moments, Avro(self._cluster.installation))

    def _read_output(self, prefix: str = "") -> list[PreparedRecord]:
        """Return the output records in a form to be produced again."""
        records = self._cluster.topics.read(*(prefix + topic for topic in self._step.outputs))
        return [
            record._replace(
                topic=record.topic.removeprefix(prefix),
                partition=-1,
                timestamp_ms=record.timestamp_ms if self._step.own_timestamps else 0,
            )
            for record in records
        ]

    def _run_step(self) -> timing.Run:
        return run_side(f"step.{self._step.name}", self._task(len(self._records)))

    def _run_bare_loop(self) -> timing.Run:
        return run_side(
            "bare",
            self._task(
                len(self._records),
                name=f"bare.{self._step.name}",
                inputs=list(self._step.inputs),
                outputs=str(self._outputs),
                input_records=len(self._records),
                prefix=PREFIX,
            ),
        )

    def _run_by_record(self) -> timing.Run:
        return run_side(
            self._step.by_record_side,
            self._task(self._sizes.records_by_record, prefix=PREFIX, **self._step.options),
        )

    def _task(self, records: int, **options: Any) -> Task:
        return Task(records, self._sizes.warm_up(records), str(self._cluster.folder / "sides"), options)

    def _figures(
        self, step: Sequence[timing.Run], bare: Sequence[timing.Run], by_record: Sequence[timing.Run]
    ) -> list[Figure]:
        name, rate, cpu = self._step.name, timing.rate, timing.cpu_us
        return [
            Figure(
                f"{name}: against the bare loop",
                rate(step),
                rate(bare),
                "records/s",
                at_least(self._step.goal),
            ),
            Figure(f"{name}: against a record at a time", rate(step), rate(by_record), "records/s"),
            Figure(f"{name}: CPU, against the bare loop", cpu(step), cpu(bare), "µs/record"),
            Figure(f"{name}: CPU, against a record at a time", cpu(step), cpu(by_record), "µs/record"),
            Figure(f"{name}: memory", timing.memory_mb(step), None, "MB"),
            *self._on_disk(),
        ]

    def _on_disk(self) -> list[Figure]:
        """Return the size of the topics on the broker's disk per input record."""
        home, rounds = self._cluster.stack.home.folder, self._sizes.rounds + 1
        return [
            Figure(
                f"on disk: {' + '.join(topics)}",
                sum(log.topic_bytes(home, topic) for topic in topics) / (rounds * len(self._records)),
                None,
                "bytes/input record",
            )
            for topics in (self._step.inputs, self._step.outputs)
        ]
