"""The bare loop: it consumes the step's input and produces the step's output, prepared beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench import log
from tests.bench.side import Task
from tests.bench.sides import loop
from tests.bench.timing import Run, Stopwatch


def run(task: Task) -> Run:
    """Run the loop.

    Options: `name` of the consumer group, `inputs` (topics), `outputs` (file of the records that follow from
    `input_records` records), `prefix` of the topics to produce to.
    """
    prefix = str(task.options["prefix"])
    prepared = [
        (prefix + record.topic, record.value, record.key, record.partition, record.timestamp_ms)
        for record in log.load(Path(task.options["outputs"]))
    ]
    outputs = _Outputs(prepared, int(task.options["input_records"]))
    watch = Stopwatch(task.records, task.warm_up)
    return loop.run(task.options["name"], task.options["inputs"], outputs.of_batch, watch)


class _Outputs:
    """Prepared output records, in proportion to the records consumed; from the beginning again after the last one."""

    def __init__(self, prepared: Sequence[loop.ProduceArguments], input_records: int) -> None:
        self._prepared, self._input_records = prepared, input_records
        self._consumed, self._produced = 0, 0

    def of_batch(self, messages: Sequence[Any]) -> Iterator[loop.ProduceArguments]:
        """Yield the output records of a batch, after reading the bytes of each message as a step would."""
        for message in messages:
            message.value()
        self._consumed += len(messages)
        end = self._consumed * len(self._prepared) // self._input_records
        while self._produced < end:
            start = self._produced % len(self._prepared)
            part = self._prepared[start : start + end - self._produced]
            yield from part
            self._produced += len(part)
