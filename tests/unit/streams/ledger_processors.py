"""Processors of a step `ledger` that publishes its entries in order, and a model of what the step must do.

An entry names persons ("a", or "a+b" for two) and an amount. A processor raises for amounts in `RAISING` and returns
those in `POISON` as poison. All entries are in one partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from schemas.tables import table_from_rows
from streams.contract import Batch, OrderingKeys, Output, Poison, Result, State
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import toys

#: Amounts for which a processor raises, and those that it returns as poison.
RAISING, POISON = frozenset({13, 14}), frozenset({23, 24})

Entry = tuple[str, int]


def persons(names: str) -> list[str]:
    """Return the persons that an entry names."""
    return names.split("+")


class PassOn:
    """A stateless processor that publishes the entries; an entry's ordering key is its record key."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return all entries except poison; raise if any must raise."""
        outputs, poison = [], []
        for number, batch in enumerate(batches):
            rows = batch.table.to_pylist()
            poison += [
                Poison(number, index, "poison") for index, row in enumerate(rows) if row["amount"] in POISON
            ]
            outputs.append(_output([row for row in rows if row["amount"] not in POISON]))
        return Result(outputs, poison)


class PassOnByPerson(PassOn):
    """As `PassOn`, but each person is an ordering key: an entry of two persons waits for both, and blocks both."""

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """Return the persons of each entry."""
        assert state is None
        return _person_keys(batch)


class Count:
    """A stateful processor that publishes the entries and keeps each person's number of entries."""

    @property
    def stores(self) -> Mapping[str, str]:
        """The store of numbers by person."""
        return {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Return all entries except poison; if one must raise, do so after the change of the state."""
        rows, poison = batch.table.to_pylist(), []
        for index, row in enumerate(rows):
            if row["amount"] in POISON:
                poison.append(Poison(0, index, "poison"))
                continue
            counts = state["sums"].get_many(persons(row["name"]))
            for person in persons(row["name"]):
                count = counts.get(person, {"sum": 0})["sum"]
                state["sums"].put(person, {"name": person, "sum": count + 1})
            if row["amount"] in RAISING:
                raise KeyError("personal data in an error's text")
        return Result([_output([row for row in rows if row["amount"] not in POISON])], poison)


class CountByPerson(Count):
    """As `Count`, but each person is an ordering key: an entry of two persons waits for both, and blocks both."""

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """Return the persons of each entry."""
        assert state is not None
        return _person_keys(batch)


def _person_keys(batch: Batch) -> list[OrderingKeys]:
    keys_by_row = map(persons, batch.table.column("name").to_pylist())
    return [OrderingKeys(keys, keys) for keys in keys_by_row]


def _output(rows: Sequence[Mapping[str, Any]]) -> Output:
    if any(row["amount"] in RAISING for row in rows):
        raise ValueError("personal data in an error's text")
    keys = pa.array([row["name"] for row in rows], pa.string())
    return Output("published", "item", table_from_rows("item", rows, toys.CATALOGUE), keys)


def create_driver(processor: Any, seed: int | None = None) -> TopologyTestDriver:
    """Return a driver of the step `ledger` with this processor."""
    step = Step("ledger", ["entry"], {"entry": "item"}.__getitem__, processor)
    driver = TopologyTestDriver([step], partitions=1, seed=seed, codec=toys.CODEC)
    driver.add_schemas({"published": "item", "entry": "item", "state.ledger.sums": "total"})
    return driver


def pipe_entries(driver: TopologyTestDriver, entries: Sequence[Entry]) -> None:
    """Append entries to the step's input topic, keyed by name."""
    driver.pipe_input("entry", "item", toys.items(entries), lambda row: str(row["name"]))


def published(driver: TopologyTestDriver) -> list[Entry]:
    """Return the entries that the step has published, in order."""
    return [(row["name"], row["amount"]) for row in driver.rows("published")]


def amounts_by_person(entries: Sequence[Entry]) -> dict[str, list[int]]:
    """Return the amounts of each person's entries, in order."""
    amounts: dict[str, list[int]] = {}
    for name, amount in entries:
        for person in persons(name):
            amounts.setdefault(person, []).append(amount)
    return amounts


@dataclass
class Model:
    """What the step must do with entries and commands, one after the other.

    `queue` has the dead letters (True) and the blocked entries (False). With `by_person` the ordering keys are persons.
    """

    by_person: bool = False
    published: list[Entry] = field(default_factory=list)
    queue: list[tuple[Entry, bool]] = field(default_factory=list)

    def process(self, entry: Entry) -> None:
        """Publish an entry, or add it to the queue."""
        blocked = any(self._share_key(entry, queued) for queued, _ in self.queue)
        if blocked or entry[1] in RAISING | POISON:
            self.queue.append((entry, not blocked))
        else:
            self.published.append(entry)

    def apply_command(self, index: int, command: str, repaired_amount: int | None = None) -> None:
        """Apply a command to the dead letter at `index` of the queue, and process the blocked entries again."""
        assert index in self.dead_letter_indices
        old_queue, self.queue = self.queue, []
        for position, (entry, is_dead_letter) in enumerate(old_queue):
            name, amount = entry
            if command == "REPAIR" and repaired_amount is not None:
                amount = repaired_amount
            if position == index and command == "DISMISS":
                continue
            if position == index and amount not in RAISING | POISON:
                self.published.append((name, amount))
            elif is_dead_letter:
                self.queue.append((entry, True))
            else:
                self.process(entry)

    @property
    def dead_letter_indices(self) -> list[int]:
        """Indices of the dead letters in the queue."""
        return [index for index, (_, is_dead_letter) in enumerate(self.queue) if is_dead_letter]

    def _share_key(self, entry: Entry, other: Entry) -> bool:
        if not self.by_person:
            return entry[0] == other[0]
        return not set(persons(entry[0])).isdisjoint(persons(other[0]))
