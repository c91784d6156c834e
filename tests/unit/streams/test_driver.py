"""`TopologyTestDriver` runs steps as their workers do; results don't depend on batches or restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import group
from streams.contract import META
from streams.errors import LostRecordsError
from streams.partitioner import murmur2
from tests.unit.streams import toys

AMOUNTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "春子", toys.POISON, toys.RAISES]), st.integers(-3, 3)),
    max_size=40,
)


@given(amounts=AMOUNTS, seed=st.integers(0, 2**32))
def test_the_size_of_batches_does_not_matter(amounts: list[tuple[str, int]], seed: int) -> None:
    """Publish each name's running sums, and route each failing record once, whatever the batches are.

    The first failing record of a name is a dead letter, those after it are blocked.
    """
    driver = toys.create_driver(seed)
    toys.pipe_items(driver, amounts)
    driver.run()
    assert toys.sums(driver) == toys.expected_sums(amounts)
    failing = [name for name, _ in amounts if name in (toys.POISON, toys.RAISES)]
    assert len(driver.dead_letters("double")) == len(set(failing))
    assert len(driver.dlq_entries("double")) == len(failing)


def test_a_restarted_step_has_its_state_again() -> None:
    """Restore the state from the changelog, deletions included."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [("a", 1), ("b", 2), ("b", -2)])
    driver.run()
    driver.restart("total")
    toys.pipe_items(driver, [("a", 1), ("b", 5)])
    driver.run()
    assert toys.sums(driver) == {"a": [2, 4], "b": [4, 0, 10]}


def test_steps_can_be_run_one_after_the_other() -> None:
    """A step that runs alone leaves its output to the next."""
    driver = toys.create_driver(settings=toys.batches_of(1))
    toys.pipe_items(driver, [("a", 1), ("a", 1)])
    assert driver.run("double") == 2
    assert driver.rows("item") == toys.items([("a", 2), ("a", 2)])
    assert driver.topics() == ["in.item", "item", "state.double.dlq"]
    driver.run()
    assert toys.sums(driver) == {"a": [2, 4]}


def test_murmur2_equals_that_of_the_java_clients() -> None:
    """The values are those of Apache Kafka's own test (UtilsTest.testMurmur2)."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) for key in known} == {key: value % 2**32 for key, value in known.items()}


def test_meta_has_the_columns_of_the_contract() -> None:
    """Processors may rely on these columns and their order."""
    assert META.names == ["topic", "partition", "offset", "timestamp_ms", "key"]


def test_a_group_that_has_lost_its_offsets_stops() -> None:
    """With the state of all records, reading them again would count them twice; without state it would be harmless."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [("a", 1), ("b", 2)])
    driver.run()
    driver.log.committed.pop(group("total"))
    driver.restart("total")
    with pytest.raises(LostRecordsError, match=r"item/\d has state, but no committed offset"):
        driver.run()
