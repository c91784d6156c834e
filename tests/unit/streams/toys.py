"""Two small steps over schemas of their own: `double` keeps nothing, `total` sums up by name."""

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
#: A name by which a processor raises, and one which it calls poison.
RAISES, POISON = "raises", "poison"


class Double:
    """Each item twice as much; what raises does so for the whole batch."""

    def process(self, batches: Sequence[Batch]) -> Result:
        """Keyed by name."""
        outputs, poison = [], []
        for number, batch in enumerate(batches):
            names = batch.table.column("name")
            if pc.any(pc.equal(names, RAISES)).as_py():
                raise ValueError("personal data in an error's text")
            bad = pc.equal(names, POISON)
            poison += [Poison(number, index, "of-poison") for index in pc.indices_nonzero(bad).to_pylist()]
            good = batch.table.filter(pc.invert(bad))
            doubled = pa.table({"name": good["name"], "amount": pc.multiply(good["amount"], 2)})
            outputs.append(Output("item", "item", doubled, good["name"].combine_chunks()))
        return Result(outputs, poison)


class Total:
    """The sum of each name's amounts, told after every item; a name whose sum comes to 0 is forgotten."""

    @property
    def stores(self) -> Mapping[str, str]:
        """One store."""
        return {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Changes state before it raises, as a processor may."""
        told, keys = list[dict[str, Any]](), list[str]()
        for row in batch.table.to_pylist():
            held = state["sums"].get_many([row["name"]]).get(row["name"], {"sum": 0})
            new = {"name": row["name"], "sum": held["sum"] + row["amount"]}
            if new["sum"]:
                state["sums"].put(row["name"], new)
            else:
                state["sums"].delete(row["name"])
            if row["name"] == RAISES:
                raise KeyError("personal data in an error's text")
            told.append(new)
            keys.append(row["name"])
        return Result([Output("total", "total", table_from_rows("total", told, CATALOGUE), pa.array(keys))])


def steps() -> list[Step]:
    """Double, then total."""
    return [
        Step("double", ["^in\\."], SCHEMAS.__getitem__, Double()),
        Step("total", ["item"], SCHEMAS.__getitem__, Total()),
    ]


def driver(seed: int | None = None, cut: int | None = None) -> TopologyTestDriver:
    """Both steps."""
    made = TopologyTestDriver(steps(), seed=seed, cut=cut, codec=CODEC)
    made.name_schemas({"total": "total", "state.total.sums": "total"})
    return made


def items(amounts: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Rows of `item`."""
    return [{"name": name, "amount": amount} for name, amount in amounts]


def feed(to: TopologyTestDriver, amounts: Iterable[tuple[str, int]]) -> None:
    """Writes items to `in.item`."""
    to.pipe_input("in.item", "item", items(amounts), lambda row: str(row["name"]))


def told(by: TopologyTestDriver) -> dict[str, list[int]]:
    """What `total` told, by name."""
    sums: dict[str, list[int]] = {}
    for row in by.rows("total"):
        sums.setdefault(row["name"], []).append(row["sum"])
    return sums


def expected(amounts: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """What `total` must have told: each name's running sum of doubled amounts, each once."""
    sums: dict[str, list[int]] = {}
    for name, amount in amounts:
        if name not in (RAISES, POISON):
            before = sums.setdefault(name, [])
            before.append((before[-1] if before else 0) + 2 * amount)
    return sums
