"""Household or fan-out a record at a time: fastavro, a dict per record, state in a dict, its changelog beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from infra.apply.installation import Installation
from tests.bench.side import Task
from tests.bench.sides import loop
from tests.bench.sides.avro import Avro
from tests.bench.sides.rules import RULES, Rules
from tests.bench.timing import Run, Stopwatch


def run(step: str, task: Task) -> Run:
    """`more`: `prefix` of the topics produced to, `changelog`, `state` (where it is kept from run to run)."""
    rules = RULES[step](Avro(Installation.of_settings()))
    work = _Work(rules, task.more["prefix"], task.more["changelog"])
    watch = Stopwatch(task.records, task.warm)
    run = loop.run(f"{step}.by-record", [rules.input], work.of, watch)
    return replace(run, folded_s=rules.folded_s * run.records / watch.seen)


class _Work:
    """One step on the state of its partitions."""

    def __init__(self, rules: Rules, prefix: str, changelog: str) -> None:
        self._rules, self._prefix, self._changelog = rules, prefix, changelog
        self._partitions: dict[int, _Dict] = {}

    def of(self, messages: Sequence[Any]) -> Iterator[loop.Produced]:
        """The outputs of each message, and the changes of state."""
        for message in messages:
            number = message.partition()
            values = self._partitions.setdefault(number, _Dict())
            for topic, key, value in self._rules.encoded(message.value(), self._rules.state(values)):
                yield self._prefix + topic, value, key, -1, 0
            for name, changed in values.changed.items():
                yield self._changelog, changed, name.encode(), number, 0
            values.changed.clear()


class _Dict:
    """Values in a dict, and those that changed."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self.changed: dict[str, bytes | None] = {}

    def read(self, key: str) -> bytes | None:
        """The value, or None."""
        return self._values.get(key)

    def write(self, key: str, value: bytes | None) -> None:
        """Sets it; None forgets it."""
        self.changed[key] = value
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
