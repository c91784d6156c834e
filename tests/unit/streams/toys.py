"""Two small steps with schemas of their own: `double` is stateless, `total` keeps the sum of each name's amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas import schema_files
from schemas.catalogue import Catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows
from streams.contract import Batch, Output, Poison, Result, State
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.driver import TopologyTestDriver


def _record(name: str, number: str) -> str:
    fields = f'{{"name": "name", "type": "string"}}, {{"name": "{number}", "type": "long"}}'
    return f'{{"type": "record", "name": "{name}", "fields": [{fields}]}}'


CATALOGUE = Catalogue(
    {
        "item": {1: _record("Item", "amount")},
        "total": {1: _record("Total", "sum")},
        **{
            name: {number: schema_files.schema_text(name, number) for number in schema_files.versions(name)}
            for name in ("dead-letter", "dlq-entry", "dead-letter-command")
        },
    }
)
CODEC = Codec(CATALOGUE, LocalSchemaIds(CATALOGUE))
SCHEMAS = {"in.item": "item", "in.more": "item", "item": "item", "total": "total"}
#: A name for which both processors raise, and one that `double` returns as poison.
RAISES, POISON = "raises", "poison"


class Double:
    """Returns each item with twice its amount, keyed by name."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return the doubled items; raise ValueError if any item of the batches is named `RAISES`."""
        outputs, poison = [], []
        for number, batch in enumerate(batches):
            names = batch.table.column("name")
            if pc.any(pc.equal(names, RAISES)).as_py():
                raise ValueError("personal data in an error's text")
            is_poison = pc.equal(names, POISON)
            rows = pc.indices_nonzero(is_poison).to_pylist()
            poison += [Poison(number, row, "of-poison") for row in rows]
            valid = batch.table.filter(pc.invert(is_poison))
            doubled = pa.table({"name": valid["name"], "amount": pc.multiply(valid["amount"], 2)})
            outputs.append(Output("item", "item", doubled, valid["name"].combine_chunks()))
        return Result(outputs, poison)


class Total:
    """Returns the name's sum after each item; a sum of 0 is deleted from the store."""

    @property
    def stores(self) -> Mapping[str, str]:
        """The store of sums by name."""
        return {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Return the sums; raise KeyError for the name `RAISES`, after a change of the state."""
        totals = list[dict[str, Any]]()
        for row in batch.table.to_pylist():
            name = row["name"]
            old_total = state["sums"].get_many([name]).get(name, {"sum": 0})
            total = {"name": name, "sum": old_total["sum"] + row["amount"]}
            if total["sum"]:
                state["sums"].put(name, total)
            else:
                state["sums"].delete(name)
            if name == RAISES:
                raise KeyError("personal data in an error's text")
            totals.append(total)
        keys = pa.array([total["name"] for total in totals])
        return Result([Output("total", "total", table_from_rows("total", totals, CATALOGUE), keys)])


def steps(double: Double | None = None) -> list[Step]:
    """Return the steps `double`, which reads all input topics, and `total`, which reads its output."""
    return [
        Step("double", ["^in\\."], SCHEMAS.__getitem__, double or Double()),
        Step("total", ["item"], SCHEMAS.__getitem__, Total()),
    ]


def create_driver(
    seed: int | None = None, settings: PipelineSettings | None = None, double: Double | None = None
) -> TopologyTestDriver:
    """Return a driver of both steps, the first with this processor."""
    driver = TopologyTestDriver(steps(double), seed=seed, settings=settings, codec=CODEC)
    driver.add_schemas({"total": "total", "state.total.sums": "total"})
    return driver


def batches_of(records: int) -> PipelineSettings:
    """Return settings with at most so many records to a batch."""
    return PipelineSettings(batch_records_max=records)


def items(amounts: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Return rows of the schema `item`, one for each name and amount."""
    return [{"name": name, "amount": amount} for name, amount in amounts]


def pipe_items(driver: TopologyTestDriver, amounts: Iterable[tuple[str, int]]) -> None:
    """Append items to the topic `in.item`, keyed by name."""
    driver.pipe_input("in.item", "item", items(amounts), lambda row: str(row["name"]))


def sums(driver: TopologyTestDriver) -> dict[str, list[int]]:
    """Return the sums that `total` has published, by name, in order."""
    sums_by_name: dict[str, list[int]] = {}
    for row in driver.rows("total"):
        sums_by_name.setdefault(row["name"], []).append(row["sum"])
    return sums_by_name


def expected_sums(amounts: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the sums that `total` must publish: each name's running sum of doubled amounts, each once."""
    sums_by_name: dict[str, list[int]] = {}
    for name, amount in amounts:
        if name not in (RAISES, POISON):
            of_name = sums_by_name.setdefault(name, [])
            of_name.append((of_name[-1] if of_name else 0) + 2 * amount)
    return sums_by_name
