"""The order of a pipeline's work: commands before records, rebalances between runs, errors and slow batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.topics import group
from streams.batch_size import AdaptiveBatchSize
from streams.contract import Batch, Result
from streams.errors import BrokenStepError
from streams.settings import PipelineSettings
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import ledger_processors, toys
from tests.unit.streams.failures import ERRORS, FailCalls

AMOUNTS = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)]


class CallingDouble(toys.Double):
    """Calls a function before each batch, with the offset of its first record; then processes it as `double`."""

    def __init__(self, before_batch: Callable[[int], None]) -> None:
        self._before_batch = before_batch

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return the doubled items."""
        self._before_batch(batches[0].meta.column("offset")[0].as_py())
        return super().process(batches)


def driver_calling(before_batch: Callable[[int], None]) -> TopologyTestDriver:
    """Return a driver of `double` and `total`, two records to a batch, with AMOUNTS as input."""
    driver = toys.create_driver(settings=toys.batches_of(2), double=CallingDouble(before_batch))
    toys.pipe_items(driver, AMOUNTS)
    return driver


@pytest.mark.parametrize("lost", [False, True])
def test_a_partition_that_is_revoked_while_its_batch_is_processed_is_processed_again(lost: bool) -> None:
    """The broker rejects the batch's offsets, since they have the old generation: then its records are read again."""
    first_offsets = list[int]()

    def rebalance_once(first_offset: int) -> None:
        first_offsets.append(first_offset)
        if first_offsets == [0, 2]:
            driver.log.members[group("double")].revoke_all(lost)

    driver = driver_calling(rebalance_once)
    driver.run()
    assert first_offsets.count(2) > 1
    assert toys.sums(driver) == toys.expected_sums(AMOUNTS)


@pytest.mark.parametrize("lost", [False, True])
def test_a_partition_that_is_revoked_between_two_runs_continues_at_its_committed_offset(lost: bool) -> None:
    """If the partition is assigned again, its position is initialized again, and no record is processed twice."""
    driver = toys.create_driver(settings=toys.batches_of(2))
    toys.pipe_items(driver, AMOUNTS)
    pipeline = driver.pipeline("double")
    while not pipeline.run_once():
        pass
    driver.log.members[group("double")].revoke_all(lost)
    assert pipeline.run_once() == 0
    assert pipeline.partitions == []
    assert pipeline.initializing == {("in.item", 0)}
    driver.run()
    assert toys.sums(driver) == toys.expected_sums(AMOUNTS)


@pytest.mark.parametrize("when", ["before", "after"])
def test_records_of_all_topics_of_a_failed_batch_are_processed_once(when: str) -> None:
    """A batch has records of several input topics; its commit times out before or after it took effect."""
    other_amounts = [("d", 1), ("e", 2), ("d", 3)]
    driver = toys.create_driver()
    fail_calls = FailCalls({("commit_transaction", when, 2): ERRORS["timeout"]()})
    driver.log.on_call = fail_calls
    toys.pipe_items(driver, AMOUNTS)
    driver.pipe_input("in.more", "item", toys.items(other_amounts), "another key")
    driver.run()
    assert fail_calls.failures == 1
    assert toys.sums(driver) == toys.expected_sums([*AMOUNTS, *other_amounts])


def test_an_error_during_a_batch_keeps_the_batches_before_it() -> None:
    """If the step is broken, the committed batches stay committed; a corrected step continues after them."""
    driver = toys.create_driver(settings=PipelineSettings(batch_records_max=2, failures_max=1))
    broken = [(toys.RAISES, 1), (toys.RAISES, 2)]
    for name, amount in [("a", 1), ("b", 2), *broken]:
        # Different record keys, so that no record is blocked behind another.
        driver.pipe_input("in.item", "item", toys.items([(name, amount)]), f"{name}{amount}")
    with pytest.raises(BrokenStepError):
        driver.run("double")
    assert [row["amount"] for row in driver.rows("item")] == [2, 4]
    assert driver.log.committed[group("double")]["in.item", 0] == 2
    assert driver.dead_letters("double") == []


def test_a_command_is_applied_before_newer_records() -> None:
    """The records blocked behind its dead letter are older than the records that the same run polls."""
    driver = ledger_processors.create_driver(ledger_processors.PassOn())
    ledger_processors.pipe_entries(driver, [("a", 13), ("a", 1)])
    driver.run()
    (dead_letter,) = driver.dead_letters("ledger")
    driver.send_command("ledger", "DISMISS", dead_letter["digest"])
    ledger_processors.pipe_entries(driver, [("b", 1)])
    driver.run()
    assert ledger_processors.published(driver) == [("a", 1), ("b", 1)]


def test_a_batch_may_take_longer_than_a_transaction() -> None:
    """The transaction begins after the batch was processed: so the broker doesn't abort it and fence the worker."""
    driver = driver_calling(lambda first_offset: advance_clock())
    began_ms = 0

    def advance_clock() -> None:
        driver.log.now_ms += 12_000

    def fence_slow_transactions(call: str, when: str) -> None:
        nonlocal began_ms
        if (call, when) == ("begin_transaction", "before"):
            began_ms = driver.log.now_ms
        elif (call, when) == ("commit_transaction", "before") and driver.log.now_ms > began_ms + 10_000:
            raise KafkaException(KafkaError(KafkaError._FENCED, fatal=True))

    driver.log.on_call = fence_slow_transactions
    driver.run()
    assert driver.log.now_ms >= 3 * 12_000
    assert toys.sums(driver) == toys.expected_sums(AMOUNTS)


def test_each_failure_halves_the_batch_size_down_to_one() -> None:
    """A batch of one record is always tried."""
    batch_size = AdaptiveBatchSize()
    sizes = [batch_size.scale(100)]
    for _ in range(9):
        batch_size.failed()
        sizes.append(batch_size.scale(100))
    assert sizes == [100, 50, 25, 12, 6, 3, 1, 1, 1, 1]


def test_the_batch_size_is_doubled_after_five_successes() -> None:
    """A batch that is too large costs a timeout, so a larger one is tried only after several successes."""
    batch_size = AdaptiveBatchSize()
    batch_size.failed()
    batch_size.failed()
    sizes = []
    for _ in range(11):
        batch_size.succeeded()
        sizes.append(batch_size.scale(100))
    assert sizes == [25] * 4 + [50] * 5 + [100] * 2
    batch_size.failed()
    assert batch_size.scale(100) == 50
