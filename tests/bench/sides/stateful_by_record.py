"""Household or fan-out a record at a time: fastavro, a dict per record, state in a dict with a changelog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from infra.apply.installation import Installation
from tests.bench.side import Task
from tests.bench.sides import loop
from tests.bench.sides.avro import Avro
from tests.bench.sides.rules import RULES, StepRules
from tests.bench.timing import Run, Stopwatch


def run(step: str, task: Task) -> Run:
    """Run a step. Options: `prefix` of the topics to produce to, `changelog` (topic)."""
    rules = RULES[step](Avro(Installation.of_settings()))
    by_record = _StepByRecord(rules, task.options["prefix"], task.options["changelog"])
    watch = Stopwatch(task.records, task.warm_up)
    run = loop.run(f"{step}.by-record", [rules.input], by_record.process_batch, watch)
    return replace(run, rules_s=rules.rules_s * run.records / watch.done_records)


class _StepByRecord:
    """One step with the state of its partitions."""

    def __init__(self, rules: StepRules, prefix: str, changelog: str) -> None:
        self._rules, self._prefix, self._changelog = rules, prefix, changelog
        self._partitions: dict[int, _DictStore] = {}

    def process_batch(self, messages: Sequence[Any]) -> Iterator[loop.ProduceArguments]:
        """Yield the output records of each message, and its changes of state."""
        for message in messages:
            number = message.partition()
            store = self._partitions.setdefault(number, _DictStore())
            for topic, record_key, value in self._rules.process_encoded(
                message.value(), self._rules.state(store)
            ):
                yield self._prefix + topic, value, record_key, -1, 0
            for key, changed in store.changed.items():
                yield self._changelog, changed, key.encode(), number, 0
            store.changed.clear()


class _DictStore:
    """A `ValueStore` in a dict, with the values that changed."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self.changed: dict[str, bytes | None] = {}

    def read(self, key: str) -> bytes | None:
        """Return the value, or None."""
        return self._values.get(key)

    def write(self, key: str, value: bytes | None) -> None:
        """Set the value; None deletes it."""
        self.changed[key] = value
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
