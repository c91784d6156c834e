"""Household and fan-out without a broker, and domain stores that apply their outputs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows
from streams.contract import META, Batch, Result, StatefulProcessor
from tests.unit.processors.submissions import high_sealer

Row = dict[str, Any]
#: Domain, person and municipality (None for a national domain).
RowKey = tuple[str, str, str | None]


class PlainStore:
    """A state store that keeps rows. If `serialized`, they pass through their schema's columns like in a changelog."""

    def __init__(self, schema: str, *, serialized: bool) -> None:
        self._schema, self._serialized, self.values = schema, serialized, dict[str, Row]()

    def get_many(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the values of those keys that exist."""
        return {key: self.values[key] for key in keys if key in self.values}

    def first_keys(self, until: str, limit: int) -> list[str]:
        """Return the first keys of groups up to `until`."""
        keys = sorted(self.values, key=lambda key: (key.partition("/")[0], key))
        return [key for key in keys if key.partition("/")[0] <= until][:limit]

    def keys_after(self, key: str, limit: int) -> list[str]:
        """Return the keys that come after this one."""
        ordered = sorted(self.values, key=lambda key: (key.partition("/")[0], key))
        return [each for each in ordered if (each.partition("/")[0], each) > (key.partition("/")[0], key)][
            :limit
        ]

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Set a value."""
        if self._serialized:
            (self.values[key],) = table_from_rows(self._schema, [value]).to_pylist()
        else:
            self.values[key] = dict(value)

    def delete(self, key: str) -> None:
        """Delete a key."""
        self.values.pop(key, None)


def empty_state(processor: StatefulProcessor, *, serialized: bool = False) -> dict[str, PlainStore]:
    """Return empty state stores for a processor."""
    return {name: PlainStore(schema, serialized=serialized) for name, schema in processor.stores.items()}


def batch_of(schema: str, rows: Sequence[Row]) -> Batch:
    """Return rows as a batch of one partition."""
    meta = [
        {"topic": "t", "partition": 0, "offset": offset, "timestamp_ms": 0, "key": None}
        for offset in range(len(rows))
    ]
    return Batch(schema, table_from_rows(schema, rows), pa.Table.from_pylist(meta, schema=META))


class TwoSteps:
    """Household followed by fan-out; `outputs` has their outputs by topic."""

    def __init__(self, *, serialized: bool = False) -> None:
        self.household, self.fan_out = HouseholdProcessor(), FanOutProcessor(sealer=high_sealer())
        self.household_state = empty_state(self.household, serialized=serialized)
        self.fan_out_state = empty_state(self.fan_out, serialized=serialized)
        self.outputs: dict[str, list[Row]] = {}

    def accept_notices(self, rows: Sequence[Row]) -> list[Row]:
        """Process a batch of `notice` in household only; return the changes of persons."""
        result = self.household.process(batch_of("notice", rows), self.household_state)
        return self._collect(result).pop("person.change", [])

    def change(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """Process a batch of `person.change` in fan-out; return its outputs by topic."""
        outputs = self._collect(self.fan_out.process(batch_of("person-change", rows), self.fan_out_state))
        to_continue = outputs.pop("person.change", [])
        if to_continue:
            for topic, more in self.change(to_continue).items():
                outputs.setdefault(topic, []).extend(more)
        return outputs

    def submit(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """Process notices in both steps; return fan-out's outputs by topic."""
        changes = self.accept_notices(rows)
        return self.change(changes) if changes else {}

    def rejection_codes(self, *systems: str) -> list[tuple[str, str]]:
        """Return notice number and code of each rejection, of all systems or of these."""
        return [
            (row["notice"], row["code"])
            for topic, rows in sorted(self.outputs.items())
            if topic.startswith("rejected.")
            for row in rows
            if not systems or row["system"] in systems
        ]

    def _collect(self, result: Result) -> dict[str, list[Row]]:
        assert not result.poison
        outputs = {output.topic: output.table.to_pylist() for output in result.outputs}
        for topic, rows in outputs.items():
            self.outputs.setdefault(topic, []).extend(rows)
        return outputs


def process_shuffled(
    steps: TwoSteps, files: dict[str, list[Row]], others: list[Row], chance: random.Random
) -> None:
    """Process each register's notices in order, all else in random order, in batches with random delays."""
    registers = {file: list(rows) for file, rows in files.items()}
    queues: dict[str, list[Row]] = {"enrolments": chance.sample(others, len(others))}
    while registers or any(queues.values()):
        if registers and chance.random() < 0.5:
            file = chance.choice(sorted(registers))
            size = chance.randint(1, 40)
            queues.setdefault(file, []).extend(steps.accept_notices(registers[file][:size]))
            registers[file] = registers[file][size:]
            if not registers[file]:
                del registers[file]
        else:
            ready = sorted(name for name, queue in queues.items() if queue)
            if ready:
                name = chance.choice(ready)
                size = chance.randint(1, 60)
                steps.change(queues[name][:size])
                queues[name] = queues[name][size:]


class DomainStores:
    """The contents of all domains' stores. A person's revisions in a domain increase by one, each with a change."""

    def __init__(self, outputs: Mapping[str, list[Row]]) -> None:
        self.rows: dict[RowKey, Row] = {}
        self.accounts: dict[RowKey, Row] = {}
        self.messages: dict[tuple[str, str, str], Row] = {}
        #: Rows of declared readings by domain, reading, person, municipality and key.
        self.readings: dict[tuple[Any, ...], Row] = {}
        #: Rows of histories by domain, person, municipality, day of effect, and day since which they are known.
        self.histories: dict[tuple[Any, ...], Row] = {}
        self._revisions: dict[tuple[str, str], int] = {}
        for topic, rows in outputs.items():
            if topic.startswith("change."):
                for row in rows:
                    self._apply(topic.removeprefix("change."), row)
        latest = {row["id"]: row for row in outputs.get("conflict", ())}
        self.conflicts = {id_: row for id_, row in latest.items() if row["status"] == "OPEN"}

    def content(self) -> tuple[Any, ...]:
        """Return everything that must not depend on the order of arrival."""
        return self.rows, self.accounts, self.messages, self.conflicts, self.readings, self.histories

    def _apply(self, domain: str, row: Row) -> None:
        revision = self._revisions.get((domain, row["person"]), 0)
        assert row["revision"] == revision + 1
        self._revisions[domain, row["person"]] = row["revision"]
        key = (domain, row["person"], row["municipality"])
        if row["entity"] == "MESSAGE":
            case = row["message"]["case"]["municipality"] + "/" + row["message"]["case"]["notice"]
            assert (domain, row["person"], case) not in self.messages
            message = row["message"] | {"effective_on": row["effective_on"]}
            self.messages[domain, row["person"], case] = message
            return
        if row["columns"] is not None:
            self._apply_reading(domain, row)
            return
        if row["known_from"] is not None:
            self._apply_history(domain, row)
        if row["entity"] == "PERSON_HISTORY":
            return
        table = self.rows if row["entity"] == "PERSON" else self.accounts
        if row["op"] == "DELETE":
            del table[key]
        else:
            names = ("status", "effective_on", "facts" if row["entity"] == "PERSON" else "account")
            values = {name: row[name] for name in names}
            assert table.get(key) != values, "a change without any difference was published"
            table[key] = values

    def _apply_history(self, domain: str, row: Row) -> None:
        key = (domain, row["person"], row["municipality"], row["effective_on"], row["known_from"])
        values = {"status": row["status"], "facts": row["facts"]}
        assert self.histories.get(key) != values, "a change without any difference was published"
        if row["op"] == "DELETE":
            del self.histories[key]
        else:
            self.histories[key] = values

    def _apply_reading(self, domain: str, row: Row) -> None:
        reading = DOMAINS[domain].reading(row["entity"])
        assert reading is not None
        key_length = len(reading.entity.key_fields)
        key = (domain, reading.name, row["person"], row["municipality"], *row["columns"][:key_length])
        if row["op"] == "DELETE":
            del self.readings[key]
            return
        names = [field.name for field in reading.fields]
        values = dict(zip(names, row["columns"], strict=True))
        values |= {"status": row["status"], "effective_on": row["effective_on"]}
        assert self.readings.get(key) != values, "a change without any difference was published"
        self.readings[key] = values
