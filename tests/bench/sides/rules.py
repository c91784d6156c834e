"""Household and fan-out a record at a time: our own rules and fold, given a record as a dict and its state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from processors.fan_out.entries import entry_of
from processors.fan_out.outcome import Outcome as Told
from processors.fan_out.processor import STORES as FAN_OUT_STORES
from processors.fan_out.processor import People
from processors.household.decide import decide
from processors.household.processor import Outcome, case_key, notice_of
from processors.household.register import STORES as HOUSEHOLD_STORES
from processors.household.register import Register, Registers
from schemas.topics import CASE_OPENED, CASE_PART, CONFLICT, NOTICE, PERSON_CHANGE, change_topic
from tests.bench.sides.avro import Avro

Row = dict[str, Any]


class Out(NamedTuple):
    """A record that goes out."""

    topic: str
    schema: str
    row: Mapping[str, Any]
    key: str


class Values(Protocol):
    """Encoded values by key, wherever they are kept."""

    def read(self, key: str) -> bytes | None:
        """The value, or None."""

    def write(self, key: str, value: bytes | None) -> None:
        """Sets it; None forgets it."""


class Store:
    """A step's store (`streams.contract.Store`) whose values are encoded one by one."""

    def __init__(self, name: str, schema: str, avro: Avro, values: Values) -> None:
        self._name, self._schema, self._avro, self._values = name, schema, avro, values

    def get_many(self, keys: Iterable[str]) -> dict[str, Row]:
        """The values of those keys that have one."""
        found = ((key, self._values.read(f"{self._name}/{key}")) for key in keys)
        return {key: self._avro.read(self._schema, value) for key, value in found if value is not None}

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Sets a value."""
        self._values.write(f"{self._name}/{key}", self._avro.write(self._schema, value))

    def delete(self, key: str) -> None:
        """Forgets a key."""
        self._values.write(f"{self._name}/{key}", None)


class Rules:
    """One step; `folded_s` is the time spent in the function that decides, and in nothing around it."""

    input: str
    schema: str
    stores: Mapping[str, str]

    def __init__(self, avro: Avro) -> None:
        self._avro, self.folded_s = avro, 0.0

    def state(self, values: Values) -> dict[str, Store]:
        """The step's stores on these values."""
        return {name: Store(name, schema, self._avro, values) for name, schema in self.stores.items()}

    def outcome(self, row: Row, state: dict[str, Store]) -> list[Out]:
        """What follows from one record."""
        raise NotImplementedError

    def encoded(self, value: bytes, state: dict[str, Store]) -> list[tuple[str, bytes, bytes]]:
        """What follows from one value: topic, key, value of each record."""
        found = self.outcome(self._avro.read(self.schema, value), state)
        return [(each.topic, each.key.encode(), self._avro.write(each.schema, each.row)) for each in found]


class Household(Rules):
    """One notice."""

    input, schema, stores = NOTICE, "notice", HOUSEHOLD_STORES

    def outcome(self, row: Row, state: dict[str, Store]) -> list[Out]:
        """Judged at its place in the list, and parted into changes of persons."""
        registers, outcome = Registers(state), Outcome()
        register, notice = Register(registers, row["municipality"]), notice_of(row)
        begun = time.perf_counter()
        decided = decide(notice, register)
        self.folded_s += time.perf_counter() - begun
        outcome.add(row, decided)
        registers.flush()
        return [
            *(Out(PERSON_CHANGE, "person-change", each, each["person"]) for each in outcome.changes),
            *(Out(CASE_OPENED, "case-opened", each, case_key(each["case"])) for each in outcome.cases),
            *_rejected(outcome.rejected.rows),
        ]


class FanOut(Rules):
    """One change of a person."""

    input, schema, stores = PERSON_CHANGE, "person-change", FAN_OUT_STORES

    def outcome(self, row: Row, state: dict[str, Store]) -> list[Out]:
        """Added to the person's history and folded; the differences."""
        people, outcome, entry = People(state, [row]), Told(), entry_of(row)
        if isinstance(entry, str):
            raise TypeError("a change of an unknown kind")
        person = people.get(row["person"])
        before, begun = person.view, time.perf_counter()
        messages = person.take(entry, lambda: people.older(row["person"]))
        self.folded_s += time.perf_counter() - begun
        outcome.add(row, person, before, messages)
        people.flush()
        return [
            *(
                Out(change_topic(domain), "domain-change", each, each["person"])
                for domain, records in sorted(outcome.changes.items())
                for each in records
            ),
            *(Out(CASE_PART, "case-part", each, case_key(each["case"])) for each in outcome.parts),
            *(Out(CONFLICT, "conflict", each, each["id"]) for each in outcome.conflicts),
            *_rejected(outcome.rejected.rows),
        ]


RULES: Final[Mapping[str, type[Rules]]] = {"household": Household, "fan-out": FanOut}


def _rejected(rows: Mapping[str, list[Row]]) -> Iterable[Out]:
    for topic, of_topic in rows.items():
        yield from (Out(topic, "rejected", each, each["id"]) for each in of_topic)
