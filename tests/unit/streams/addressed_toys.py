"""Two small steps that choose partitions: `announce` broadcasts, `count-down` continues on its own input partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from schemas.tables import table_from_rows
from streams.contract import Batch, Output, Result, State
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import toys


class Announce:
    """Returns each item for every partition, keyed by name, with the time of its record."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return the items; raise ValueError if any is named `RAISES`."""
        outputs = []
        for batch in batches:
            names = batch.table["name"].combine_chunks()
            if pc.any(pc.equal(names, toys.RAISES)).as_py():
                raise ValueError("personal data in an error's text")
            times = batch.meta["timestamp_ms"].combine_chunks()
            outputs.append(Output("item", "item", batch.table, names, times, broadcast=True))
        return Result(outputs)


class CountDown:
    """Counts the items of each name and partition, and returns an item with one less for the same partition, down to 0.

    A count is published under the name `<name>/<partition>`.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """The store of counts by name."""
        return {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Return the counts and the next items; raise ValueError if the records aren't of one partition."""
        (number,) = set(batch.meta["partition"].to_pylist())
        counts, items = list[dict[str, Any]](), list[dict[str, Any]]()
        for row in batch.table.to_pylist():
            name = row["name"]
            count = state["sums"].get_many([name]).get(name, {"sum": 0})["sum"] + 1
            state["sums"].put(name, {"name": name, "sum": count})
            counts.append({"name": f"{name}/{number}", "sum": count})
            if row["amount"]:
                items.append({"name": name, "amount": row["amount"] - 1})
        return Result([_output("total", "total", counts), _output("item", "item", items, partition=number)])


def steps() -> list[Step]:
    """Return the steps `announce`, which reads all input topics, and `count-down`, which reads both steps' items."""
    return [
        Step("announce", ["^in\\."], toys.SCHEMAS.__getitem__, Announce()),
        Step("count-down", ["item"], toys.SCHEMAS.__getitem__, CountDown()),
    ]


def create_driver(seed: int | None = None, batch_records: int = 100_000) -> TopologyTestDriver:
    """Return a driver of both steps with three partitions."""
    settings = toys.batches_of(batch_records)
    driver = TopologyTestDriver(steps(), partitions=3, seed=seed, settings=settings, codec=toys.CODEC)
    driver.add_schemas({"total": "total"})
    return driver


def expected_counts(amounts: Sequence[tuple[str, int]], partitions: int = 3) -> dict[str, list[int]]:
    """Return the counts that `count-down` must publish: in each partition an item of amount n is n + 1 items."""
    items = {name: sum(n + 1 for other, n in amounts if other == name) for name, _ in amounts}
    return {
        f"{name}/{number}": list(range(1, count + 1))
        for name, count in items.items()
        for number in range(partitions)
    }


def _output(topic: str, schema: str, rows: Sequence[Mapping[str, Any]], **address: Any) -> Output:
    table = table_from_rows(schema, rows, toys.CATALOGUE)
    return Output(topic, schema, table, table["name"].combine_chunks(), **address)
