"""The driver runs steps as the pipeline does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import group
from streams.contract import META
from streams.errors import LostRecordsError
from streams.testing.memory_log import murmur2
from tests.unit.streams import toys

AMOUNTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "春子", toys.POISON, toys.RAISES]), st.integers(-3, 3)),
    max_size=40,
)


@given(amounts=AMOUNTS, seed=st.integers(0, 2**32))
def test_the_cut_of_batches_does_not_matter(amounts: list[tuple[str, int]], seed: int) -> None:
    """Whatever the batches, each name is told its running sums, and each bad record is set aside once.

    The first of a name is a letter, those after it are parked behind it.
    """
    driver = toys.driver(seed)
    toys.feed(driver, amounts)
    driver.run()
    assert toys.told(driver) == toys.expected(amounts)
    bad = [name for name, _ in amounts if name in (toys.POISON, toys.RAISES)]
    assert len(driver.dead_letters("double")) == len(set(bad))
    assert len(driver.dlq_entries("double")) == len(bad)


def test_a_worker_started_again_has_its_state_back() -> None:
    """State comes back from the changelog, tombstones and all."""
    driver = toys.driver()
    toys.feed(driver, [("a", 1), ("b", 2), ("b", -2)])
    driver.run()
    driver.restart("total")
    toys.feed(driver, [("a", 1), ("b", 5)])
    driver.run()
    assert toys.told(driver) == {"a": [2, 4], "b": [4, 0, 10]}


def test_steps_can_run_one_after_the_other() -> None:
    """A step alone leaves its output to the next."""
    driver = toys.driver(cut=1)
    toys.feed(driver, [("a", 1), ("a", 1)])
    assert driver.run("double") == 2
    assert driver.rows("item") == toys.items([("a", 2), ("a", 2)])
    assert driver.topics() == ["in.item", "item", "state.double.dlq"]
    driver.run()
    assert toys.told(driver) == {"a": [2, 4]}


def test_murmur2_is_that_of_the_java_clients() -> None:
    """The values of Apache Kafka's own test (UtilsTest.testMurmur2)."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) for key in known} == {key: value % 2**32 for key, value in known.items()}


def test_meta_is_of_the_contract() -> None:
    """The contract's columns are what a processor may count on."""
    assert META.names == ["topic", "partition", "offset", "timestamp_ms", "key"]


def test_a_group_that_has_lost_its_offsets_stops() -> None:
    """What is kept would be of all that it would read again; a step that keeps nothing yet begins at the beginning."""
    driver = toys.driver()
    toys.feed(driver, [("a", 1), ("b", 2)])
    driver.run()
    driver.log.committed.pop(group("total"))
    driver.restart("total")
    with pytest.raises(LostRecordsError, match="no offset of item/"):
        driver.run()
