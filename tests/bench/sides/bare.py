"""Theirs: the bare loop. It consumes the same bytes, and produces the same bytes, made beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench import log
from tests.bench.side import Task
from tests.bench.sides import loop
from tests.bench.timing import Run, Stopwatch


def run(task: Task) -> Run:
    """`more`: `inputs` (topics), `outputs` (file of records that follow from `of` records), `prefix` of topics."""
    prefix = str(task.more["prefix"])
    made = [
        (prefix + each.topic, each.value, each.key, each.partition, each.timestamp_ms)
        for each in log.load(Path(task.more["outputs"]))
    ]
    outputs = _Outputs(made, int(task.more["of"]))
    return loop.run(task.more["name"], task.more["inputs"], outputs.of, Stopwatch(task.records, task.warm))


class _Outputs:
    """As many of the outputs as go with the records consumed, from the beginning again when they are used up."""

    def __init__(self, made: Sequence[loop.Produced], records: int) -> None:
        self._made, self._records, self._seen, self._at = made, records, 0, 0

    def of(self, messages: Sequence[Any]) -> Iterator[loop.Produced]:
        """The outputs of a batch; each message's bytes are taken."""
        for message in messages:
            message.value()
        self._seen += len(messages)
        end = self._seen * len(self._made) // self._records
        while self._at < end:
            start = self._at % len(self._made)
            part = self._made[start : start + end - self._at]
            yield from part
            self._at += len(part)
