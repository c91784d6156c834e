"""The two steps of household propagation without a broker, and stores that apply what comes out of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from schemas.tables import table_from_rows
from streams.contract import META, Batch, Result, StatefulProcessor

Row = dict[str, Any]


class MemoryStore:
    """A store in memory; where `through`, values pass through their schema's columns, as through the changelog."""

    def __init__(self, schema: str, *, through: bool) -> None:
        self._schema, self._through, self.values = schema, through, dict[str, Row]()

    def get_many(self, keys: Iterable[str]) -> dict[str, Row]:
        """What is there of these."""
        return {key: self.values[key] for key in keys if key in self.values}

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Sets a value."""
        if self._through:
            (self.values[key],) = table_from_rows(self._schema, [value]).to_pylist()
        else:
            self.values[key] = dict(value)

    def delete(self, key: str) -> None:
        """Forgets a key."""
        self.values.pop(key, None)


def states(processor: StatefulProcessor, *, through: bool = False) -> dict[str, MemoryStore]:
    """Empty stores of a step."""
    return {name: MemoryStore(schema, through=through) for name, schema in processor.stores.items()}


def batch_of(schema: str, rows: Sequence[Row]) -> Batch:
    """Rows as a batch of one partition."""
    meta = [
        {"topic": "t", "partition": 0, "offset": i, "timestamp_ms": 0, "key": None} for i in range(len(rows))
    ]
    return Batch(schema, table_from_rows(schema, rows), pa.Table.from_pylist(meta, schema=META))


class Mesh:
    """Household and fan-out, one behind the other; `told` are their outputs by topic."""

    def __init__(self, *, through: bool = False) -> None:
        self.household, self.fan_out = HouseholdProcessor(), FanOutProcessor()
        self.household_state = states(self.household, through=through)
        self.fan_out_state = states(self.fan_out, through=through)
        self.told: dict[str, list[Row]] = {}

    def list_notices(self, rows: Sequence[Row]) -> list[Row]:
        """A batch of `notice`; the changes of persons that come of it, not yet handed on."""
        result = self.household.process(batch_of("notice", rows), self.household_state)
        return self._keep(result).pop("person.change", [])

    def change(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """A batch of `person.change`; what goes out, by topic."""
        return self._keep(self.fan_out.process(batch_of("person-change", rows), self.fan_out_state))

    def submit(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """Notices through both steps."""
        changes = self.list_notices(rows)
        return self.change(changes) if changes else {}

    def _keep(self, result: Result) -> dict[str, list[Row]]:
        assert not result.poison
        out = {output.topic: output.table.to_pylist() for output in result.outputs}
        for topic, rows in out.items():
            self.told.setdefault(topic, []).extend(rows)
        return out

    def codes(self, *systems: str) -> list[tuple[str, str]]:
        """Number and code of what was rejected."""
        return [
            (row["notice"], row["code"])
            for topic, rows in sorted(self.told.items())
            if topic.startswith("rejected.")
            for row in rows
            if not systems or row["system"] in systems
        ]


def shuffled(mesh: Mesh, files: dict[str, list[Row]], enrolments: list[Row], chance: random.Random) -> None:
    """Each register's list in its order, all else as chance has it; changes wait for fan-out a while."""
    lists = {file: list(rows) for file, rows in files.items()}
    queues: dict[str, list[Row]] = {"enrolments": chance.sample(enrolments, len(enrolments))}
    while lists or any(queues.values()):
        if lists and chance.random() < 0.5:
            file = chance.choice(sorted(lists))
            cut = chance.randint(1, 40)
            queues.setdefault(file, []).extend(mesh.list_notices(lists[file][:cut]))
            lists[file] = lists[file][cut:]
            if not lists[file]:
                del lists[file]
        else:
            ready = sorted(name for name, queue in queues.items() if queue)
            if ready:
                name = chance.choice(ready)
                cut = chance.randint(1, 60)
                mesh.change(queues[name][:cut])
                queues[name] = queues[name][cut:]


class Stores:
    """What the domains' stores hold after all changes; revisions must go strictly up for a person in a domain."""

    def __init__(self, told: Mapping[str, list[Row]]) -> None:
        self.rows: dict[tuple[str, str, str | None], Row] = {}
        self.accounts: dict[tuple[str, str, str | None], Row] = {}
        self.messages: dict[tuple[str, str, str], Row] = {}
        self._revisions: dict[tuple[str, str], int] = {}
        for topic, rows in told.items():
            if topic.startswith("change."):
                for row in rows:
                    self._apply(topic.removeprefix("change."), row)
        latest = {row["id"]: row for row in told.get("conflict", ())}
        self.conflicts = {id_: row for id_, row in latest.items() if row["status"] == "OPEN"}

    def _apply(self, domain: str, row: Row) -> None:
        revision = self._revisions.get((domain, row["person"]), 0)
        assert row["revision"] == revision + 1
        self._revisions[domain, row["person"]] = row["revision"]
        key = (domain, row["person"], row["municipality"])
        if row["entity"] == "MESSAGE":
            case = row["message"]["case"]["municipality"] + "/" + row["message"]["case"]["notice"]
            assert (domain, row["person"], case) not in self.messages
            self.messages[domain, row["person"], case] = row["message"] | {
                "effective_on": row["effective_on"]
            }
            return
        table = self.rows if row["entity"] == "PERSON" else self.accounts
        if row["op"] == "DELETE":
            del table[key]
        else:
            fields = ("status", "effective_on", "facts" if row["entity"] == "PERSON" else "account")
            held = {name: row[name] for name in fields}
            assert table.get(key) != held, "told what it held already"
            table[key] = held

    def content(self) -> tuple[Any, ...]:
        """All that must not depend on the order of arrival."""
        return self.rows, self.accounts, self.messages, self.conflicts
