"""Toy steps that pass entries on in their order, with a plain model of what must come of them.

An entry names persons ("a", or "a+b" for both) and an amount; amounts in `BAD` raise, those in `POISON` are called
poison. All are handed over in one partition.
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

#: Amounts that make a step raise, and that it calls poison.
BAD, POISON = frozenset({13, 14}), frozenset({23, 24})

Entry = tuple[str, int]


def persons(name: str) -> list[str]:
    """Whom an entry is about."""
    return name.split("+")


class Passing:
    """Passes entries on; keeps nothing."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """Poison is left out; what is bad raises for all."""
        outputs, poison = [], []
        for number, batch in enumerate(batches):
            rows = batch.table.to_pylist()
            poison += [Poison(number, at, "poison") for at, row in enumerate(rows) if row["amount"] in POISON]
            outputs.append(_told([row for row in rows if row["amount"] not in POISON]))
        return Result(outputs, poison)


class JointPassing(Passing):
    """As before, but an entry that names two waits for both, and holds both."""

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """By the names, whatever the key."""
        assert state is None
        return _joint(batch)


class Counting:
    """Passes entries on with each person's own number of entries so far, kept as state."""

    @property
    def stores(self) -> Mapping[str, str]:
        """One store."""
        return {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Counts before it raises, as a processor may."""
        rows, poison = batch.table.to_pylist(), []
        for at, row in enumerate(rows):
            if row["amount"] in POISON:
                poison.append(Poison(0, at, "poison"))
                continue
            held = state["sums"].get_many(persons(row["name"]))
            for person in persons(row["name"]):
                before = held.get(person, {"sum": 0})["sum"]
                state["sums"].put(person, {"name": person, "sum": before + 1})
            if row["amount"] in BAD:
                raise KeyError("personal data in an error's text")
        return Result([_told([row for row in rows if row["amount"] not in POISON])], poison)


class Joint(Counting):
    """As before, but an entry that names two waits for both, and holds both."""

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """By the names, whatever the key."""
        assert state is not None
        return _joint(batch)


def _joint(batch: Batch) -> list[OrderingKeys]:
    return [OrderingKeys(named, named) for named in map(persons, batch.table.column("name").to_pylist())]


def _told(rows: Sequence[Mapping[str, Any]]) -> Output:
    if any(row["amount"] in BAD for row in rows):
        raise ValueError("personal data in an error's text")
    keys = pa.array([row["name"] for row in rows], pa.string())
    return Output("told", "item", table_from_rows("item", rows, toys.CATALOGUE), keys)


def driver(processor: Any, seed: int | None = None) -> TopologyTestDriver:
    """A step `ledger` of this processor."""
    made = TopologyTestDriver(
        [Step("ledger", ["entry"], {"entry": "item"}.__getitem__, processor)],
        partitions=1,
        seed=seed,
        codec=toys.CODEC,
    )
    made.name_schemas({"told": "item", "entry": "item", "state.ledger.sums": "total"})
    return made


def feed(to: TopologyTestDriver, entries: Sequence[Entry]) -> None:
    """Hands entries over, keyed by name."""
    to.pipe_input("entry", "item", toys.items(entries), lambda row: str(row["name"]))


def told(by: TopologyTestDriver) -> list[Entry]:
    """What came out, in order."""
    return [(row["name"], row["amount"]) for row in by.rows("told")]


def told_of(by: TopologyTestDriver) -> dict[str, list[int]]:
    """What came out, by person."""
    return by_person(told(by))


def by_person(entries: Sequence[Entry]) -> dict[str, list[int]]:
    """The amounts of each person, in order."""
    found: dict[str, list[int]] = {}
    for name, amount in entries:
        for person in persons(name):
            found.setdefault(person, []).append(amount)
    return found


@dataclass
class Model:
    """What must come of entries and acts, one after the other; `aside` are those set aside, letters marked."""

    joint: bool = False
    done: list[Entry] = field(default_factory=list)
    aside: list[tuple[Entry, bool]] = field(default_factory=list)

    def take(self, entry: Entry) -> None:
        """One more entry."""
        waits = any(self._meets(entry, other) for other, _ in self.aside)
        if waits or entry[1] in BAD | POISON:
            self.aside.append((entry, not waits))
        else:
            self.done.append(entry)

    def act(self, number: int, deed: str, repaired: int | None = None) -> None:
        """An act on the letter of that number among those set aside."""
        (name, amount), letter = self.aside[number]
        assert letter
        before, self.aside = self.aside, []
        for at, (entry, is_letter) in enumerate(before):
            if at == number and deed == "DISMISS":
                continue
            new = (name, repaired if deed == "REPAIR" and repaired is not None else amount)
            if at == number and new[1] not in BAD | POISON:
                self.done.append(new)
            elif at == number or is_letter:
                self.aside.append((entry, True))
            else:
                self.take(entry)

    @property
    def letters(self) -> list[int]:
        """The numbers of the letters."""
        return [at for at, (_, letter) in enumerate(self.aside) if letter]

    def _meets(self, one: Entry, other: Entry) -> bool:
        if not self.joint:
            return one[0] == other[0]
        return not set(persons(one[0])).isdisjoint(persons(other[0]))
