"""A stateless step against the bare loop of the same bytes, and against itself a record at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import log, timing
from tests.bench.cluster import BenchCluster
from tests.bench.figures import Figure, at_least
from tests.bench.log import Prepared
from tests.bench.side import Task, start
from tests.bench.sizes import Say, Sizes

#: Topics that others than our steps write to begin with it.
PREFIX = "bench."


@dataclass(frozen=True)
class Stateless:
    """The step; `by_record` is the side that does the same a record at a time, told `more`.

    `stamped`: the records it writes have times of its own, not the moment they are written at.
    """

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    by_record: str
    more: dict[str, Any]
    goal: float
    stamped: bool = True


class Comparison:
    """One step's sides, on servers that hold nothing yet; `records` are fed once a round."""

    def __init__(
        self, place: BenchCluster, step: Stateless, sizes: Sizes, records: Sequence[Prepared], say: Say
    ) -> None:
        self._place, self._step, self._sizes, self._records, self._say = place, step, sizes, records, say
        self._outputs = place.folder / f"{step.name}.outputs.arrow"

    def run(self) -> list[Figure]:
        """The figures, after what comes out was seen to be the same."""
        for topic in self._step.outputs:
            self._place.log.create([PREFIX + topic], self._place.log.partitions(topic))
        self._say(f"{self._step.name}: {len(self._records):,} records a round")
        self._prepare()
        sides = {
            self._step.name: self._ours,
            "bare loop": self._bare,
            "a record at a time": self._by_record,
        }
        runs = timing.alternate(sides, self._sizes.rounds, self._feed, self._say)
        return self._figures(*(runs[name] for name in sides))

    def _feed(self) -> None:
        self._place.log.feed(self._records)

    def _prepare(self) -> None:
        """Once beforehand: all that comes out is kept for the bare loop, and the other way must give the same."""
        self._feed()
        self._ours()
        made = self._read()
        log.save(self._outputs, made)
        self._by_record()
        others = self._read(PREFIX)
        strangers = Counter(others) - Counter(made)
        if strangers or not others:
            raise RuntimeError(
                f"{self._step.name}: a record at a time gives {len(strangers)} others of {len(others)}"
            )
        self._say(
            f"  {len(made):,} records come out; {len(others):,} of a record at a time are the same bytes"
        )

    def _read(self, prefix: str = "") -> list[Prepared]:
        """What came out, as it is to be produced again."""
        found = self._place.log.read(*(prefix + topic for topic in self._step.outputs))
        return [
            each._replace(
                topic=each.topic.removeprefix(prefix),
                partition=-1,
                timestamp_ms=each.timestamp_ms if self._step.stamped else 0,
            )
            for each in found
        ]

    def _ours(self) -> timing.Run:
        return start(f"step.{self._step.name}", self._task(len(self._records)))

    def _bare(self) -> timing.Run:
        return start(
            "bare",
            self._task(
                len(self._records),
                name=f"bare.{self._step.name}",
                inputs=list(self._step.inputs),
                outputs=str(self._outputs),
                of=len(self._records),
                prefix=PREFIX,
            ),
        )

    def _by_record(self) -> timing.Run:
        return start(
            self._step.by_record, self._task(self._sizes.by_record, prefix=PREFIX, **self._step.more)
        )

    def _task(self, records: int, **more: Any) -> Task:
        return Task(records, self._sizes.warm(records), str(self._place.folder / "sides"), more)

    def _figures(
        self, ours: Sequence[timing.Run], bare: Sequence[timing.Run], by_record: Sequence[timing.Run]
    ) -> list[Figure]:
        name, rate, cpu = self._step.name, timing.rate, timing.cpu_us
        return [
            Figure(
                f"{name}: against the bare loop",
                rate(ours),
                rate(bare),
                "records/s",
                at_least(self._step.goal),
            ),
            Figure(f"{name}: against a record at a time", rate(ours), rate(by_record), "records/s"),
            Figure(f"{name}: CPU, against the bare loop", cpu(ours), cpu(bare), "µs/record"),
            Figure(f"{name}: CPU, against a record at a time", cpu(ours), cpu(by_record), "µs/record"),
            Figure(f"{name}: memory", timing.memory_mb(ours), None, "MB"),
            *self._on_disk(),
        ]

    def _on_disk(self) -> list[Figure]:
        """Bytes a record, as the broker keeps them."""
        home, rounds = self._place.stack.home.folder, self._sizes.rounds + 1
        return [
            Figure(
                f"on disk: {' + '.join(topics)}",
                sum(log.bytes_of(home, topic) for topic in topics) / (rounds * len(self._records)),
                None,
                f"bytes/{of}",
            )
            for topics, of in ((self._step.inputs, "record in"), (self._step.outputs, "record in"))
        ]
