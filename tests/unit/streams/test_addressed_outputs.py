"""Outputs for one partition and for all, and a step that writes to its own input: each record takes effect once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from streams.contract import Batch, Output, Result, State
from streams.errors import DeniedError
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from streams.testing.memory_log import MemoryClients
from tests.unit.streams import addressed_toys, toys
from tests.unit.streams.failures import CALLS, ERRORS, Call, FailCalls

AMOUNTS = [("a", 2), ("b", 0), ("春子", 3), ("a", 1)]


def item_output(**address: Any) -> Output:
    """Return an output of three items."""
    table = pa.table({"name": ["a", "b", "c"], "amount": [1, 2, 3]})
    return Output("item", "item", table, table["name"].combine_chunks(), **address)


class Returning:
    """A stateful processor that returns the same outputs for each batch."""

    def __init__(self, *outputs: Output) -> None:
        self._outputs = outputs
        self.stores = {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Return the outputs."""
        return Result(self._outputs)


def driver_returning(*outputs: Output, **options: Any) -> TopologyTestDriver:
    """Return a driver whose step returns these outputs for its only record."""
    step = Step("total", ["entry"], lambda topic: "item", Returning(*outputs))
    driver = TopologyTestDriver([step], partitions=3, codec=toys.CODEC, **options)
    driver.add_schemas({"item": "item"})
    driver.pipe_input("entry", "item", toys.items([("x", 1)]), "x")
    return driver


@pytest.mark.parametrize("address", [{"partition": 1, "broadcast": True}, {"partition": -1}])
def test_an_output_has_one_partition_or_all(address: dict[str, Any]) -> None:
    """Not both, and no number that would mean "by key"."""
    with pytest.raises(ValueError, match="one partition from 0 on, all, or those of a key"):
        item_output(**address)


def test_all_records_go_to_the_partition_of_the_output() -> None:
    """Their keys stay, but don't choose."""
    driver = driver_returning(item_output(partition=2))
    driver.run()
    assert [(record.key, record.partition) for record in driver.records("item")] == [
        ("a", 2),
        ("b", 2),
        ("c", 2),
    ]


def test_each_record_goes_to_every_partition() -> None:
    """In the order of the output, with key and time; other outputs to the topic are by key. All are counted."""
    before = _records_out()
    driver = driver_returning(
        item_output(broadcast=True, timestamps_ms=pa.array([7, 8, 9])), item_output(timestamps_ms=None)
    )
    driver.run()
    records = driver.records("item")
    broadcast = [(each.partition, each.key, each.timestamp_ms) for each in records if each.timestamp_ms]
    assert broadcast == [
        (number, name, time) for number in range(3) for name, time in [("a", 7), ("b", 8), ("c", 9)]
    ]
    assert len(records) == 12
    assert _records_out() - before == 12


def test_the_copies_of_a_broadcast_count_as_outputs() -> None:
    """A record whose outputs are too large in all partitions together is a dead letter, and publishes nothing."""
    rows = toys.items([("n" * 30_000, 1)])
    table = pa.Table.from_pylist(rows)
    output = Output("item", "item", table, pa.array(["k"]), broadcast=True)
    driver = driver_returning(output, settings=PipelineSettings(output_bytes_max=65_536))
    driver.run()
    assert [row["reason"] for row in driver.dead_letters("total")] == ["unexpected:ValueError"]
    assert "item" not in driver.topics()


def test_a_partition_that_the_topic_does_not_have_stops_the_worker() -> None:
    """As a missing topic does; nothing is published."""
    driver = driver_returning(item_output(partition=3))
    with pytest.raises(DeniedError, match="_UNKNOWN_PARTITION"):
        driver.run()
    assert "item" not in driver.topics()


def test_a_topic_to_broadcast_to_that_is_missing_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """State changes are rolled back, and the offset stays."""

    def missing(clients: MemoryClients, topic: str) -> int:
        raise DeniedError("UNKNOWN_TOPIC_OR_PART")

    monkeypatch.setattr(MemoryClients, "partition_count", missing)
    driver = driver_returning(item_output(broadcast=True))
    with pytest.raises(DeniedError):
        driver.run()
    assert driver.log.lag("mesh.total", ["entry"]) == 1
    assert driver.dead_letters("total") == []


def test_broadcasts_around_a_failing_record() -> None:
    """The other records of its batch are broadcast once."""
    driver = addressed_toys.create_driver()
    toys.pipe_items(driver, [("a", 0), (toys.RAISES, 0), ("b", 0)])
    driver.run("announce")
    broadcast = [(record.partition, record.key) for record in driver.records("item")]
    assert broadcast == [(number, name) for number in range(3) for name in ("a", "b")]
    assert len(driver.dead_letters("announce")) == 1


def test_a_step_has_work_until_it_has_read_its_own_records() -> None:
    """What it writes to its own input is lag until then."""
    driver = addressed_toys.create_driver(batch_records=1)
    toys.pipe_items(driver, [("a", 2)])
    driver.run("announce")
    lags = list[int]()
    pipeline = driver.pipeline("count-down")
    while lag := driver.log.lag("mesh.count-down", ["item"]):
        if pipeline.run_once() or not lags:
            lags.append(lag)
    assert max(lags) == 3
    assert len(lags) >= 9
    assert toys.sums(driver) == addressed_toys.expected_counts([("a", 2)])


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    errors=st.dictionaries(
        st.tuples(st.sampled_from(CALLS), st.sampled_from(["before", "after"]), st.integers(0, 12)),
        st.sampled_from(["timeout", "abort", "in flight"]),
        max_size=12,
    ),
    restarts=st.sets(st.integers(0, 30)),
)
def test_each_record_takes_effect_once(seed: int, errors: dict[Call, str], restarts: set[int]) -> None:
    """Whatever calls fail, and whenever the step is killed. A record of an aborted transaction is never seen."""
    driver = addressed_toys.create_driver(seed)
    driver.log.on_call = FailCalls({call: ERRORS[name]() for call, name in errors.items()})
    toys.pipe_items(driver, AMOUNTS)
    driver.run("announce")
    for number in range(30):
        if number in restarts:
            driver.restart("count-down")
        driver.pipeline("count-down").run_once()
    driver.run()
    assert toys.sums(driver) == addressed_toys.expected_counts(AMOUNTS)
    # The announced items in each partition, and those that follow from them.
    items = sum(amount + 1 for _, amount in AMOUNTS)
    assert [len(driver.log.records["item", number]) for number in range(3)] == 3 * [items]
    assert driver.dead_letters("count-down") == []


def test_an_attempt_whose_state_cannot_be_encoded_leaves_no_outputs() -> None:
    """Its records are processed again one by one: their outputs must not be published twice."""
    processor = _TooLargeFor("b")
    step = Step("total", ["entry"], lambda topic: "item", processor)
    driver = TopologyTestDriver(
        [step], partitions=1, codec=toys.CODEC, settings=PipelineSettings(record_bytes_max=1_024)
    )
    driver.add_schemas({"item": "item"})
    driver.pipe_input(
        "entry", "item", toys.items([("a", 1), ("b", 1), ("c", 1)]), lambda row: str(row["name"])
    )
    driver.run()
    assert [row["name"] for row in driver.rows("item")] == ["a", "c"]
    assert len(driver.dead_letters("total")) == 1


class _TooLargeFor:
    """Passes items on, and puts a value that is too large into the state for one name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.stores = {"sums": "total"}

    def process(self, batch: Batch, state: State) -> Result:
        """Return the items."""
        for row in batch.table.to_pylist():
            length = 2_000 if row["name"] == self._name else 1
            state["sums"].put(row["name"], {"name": "n" * length, "sum": 1})
        return Result([Output("item", "item", batch.table, batch.table["name"].combine_chunks())])


def _records_out() -> float:
    return REGISTRY.get_sample_value("mesh_records_out_total", {"step": "total", "topic": "item"}) or 0
