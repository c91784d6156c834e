"""Whichever call of a transaction fails, before or after it took effect, each record is processed exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import group
from streams.errors import DeniedError, FencedError, StoppedError, UnavailableError
from streams.pipeline import Pipeline
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import toys
from tests.unit.streams.failures import CALLS, ERRORS, Call, FailCalls

AMOUNTS = [("a", 1), ("b", 2), ("a", 3), ("c", 4), (toys.POISON, 1), ("b", -2), ("a", 5), ("b", 1)]


def driver_on(on_call: Callable[[str, str], None], seed: int | None = None) -> TopologyTestDriver:
    """Return a driver of the toy steps with AMOUNTS as input, whose producers call `on_call`."""
    driver = toys.create_driver(seed, None if seed is not None else toys.batches_of(2))
    driver.log.on_call = on_call
    toys.pipe_items(driver, AMOUNTS)
    return driver


def assert_processed_once(driver: TopologyTestDriver) -> None:
    """Assert that nothing is lost, duplicated or half done in outputs, dead letters and, after a restart, state."""
    assert toys.sums(driver) == toys.expected_sums(AMOUNTS)
    assert [row["offset"] for row in driver.dead_letters("double")] == [4]
    driver.restart("total")
    toys.pipe_items(driver, [("a", 1), ("b", 1)])
    driver.log.on_call = lambda call, when: None
    driver.run()
    assert toys.sums(driver) == toys.expected_sums([*AMOUNTS, ("a", 1), ("b", 1)])


def test_a_full_producer_queue_delays_records_without_loss_or_reordering() -> None:
    """Let the queue be full for every third record, and for some of them twice."""
    records = 0

    def queue_full(call: str, when: str) -> None:
        nonlocal records
        if (call, when) == ("produce", "before"):
            records += 1
            if records % 3 == 0 or records % 7 == 1:
                raise BufferError

    driver = driver_on(queue_full)
    driver.run()
    assert_processed_once(driver)


def possible_failures() -> list[tuple[str, str, str]]:
    """Return each call with each error, before and after it took effect, if a client can report that."""
    remote = CALLS[2:]
    before = [(call, "before", error) for call in CALLS for error in ERRORS]
    after = [(call, "after", error) for call in remote for error in ERRORS]
    return [
        (call, when, error)
        for call, when, error in before + after
        if error != "retry" or (call in remote and when == "before")
    ]


@pytest.mark.parametrize(("call", "when", "error"), possible_failures())
def test_one_failed_call_changes_nothing(call: str, when: str, error: str) -> None:
    """Fail each call of a transaction with each error that the pipeline recovers from."""
    fail_calls = FailCalls({(call, when, 1): ERRORS[error]()})
    driver = driver_on(fail_calls)
    driver.run()
    assert fail_calls.failures == 1
    assert_processed_once(driver)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    errors=st.dictionaries(
        st.tuples(
            st.sampled_from([*CALLS, "abort_transaction", "init_transactions"]),
            st.sampled_from(["before", "after"]),
            st.integers(0, 12),
        ),
        st.sampled_from(["timeout", "abort", "in flight"]),
        max_size=12,
    ),
)
def test_any_failed_calls_change_nothing(seed: int, errors: dict[Call, str]) -> None:
    """Fail any calls of any transactions, with batches of any size; `init_transactions` can only time out."""
    names = {call: "timeout" if call[0] == "init_transactions" else name for call, name in errors.items()}
    driver = driver_on(FailCalls({call: ERRORS[name]() for call, name in names.items()}), seed)
    driver.run()
    assert_processed_once(driver)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError(KafkaError._FENCED, fatal=True), FencedError),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), DeniedError),
        (KafkaError(KafkaError._FATAL, fatal=True), StoppedError),
        (KafkaError(KafkaError.UNKNOWN), StoppedError),
    ],
)
@pytest.mark.parametrize("number", [0, 1], ids=["barrier", "batch"])
def test_fatal_and_unknown_errors_stop_the_worker(
    error: KafkaError, expected: type[Exception], number: int
) -> None:
    """An error without a known reaction stops the worker; nothing of the open transaction is visible."""
    driver = driver_on(FailCalls({("send_offsets_to_transaction", "before", number): error}))
    with pytest.raises(expected):
        driver.run()
    assert driver.log.topic_records("item") == []


def test_a_worker_stops_if_barrier_writes_keep_failing() -> None:
    """Attempts are limited; then the supervisor restarts the worker after a pause."""

    def fail_commit(call: str, when: str) -> None:
        if call == "commit_transaction":
            raise KafkaException(ERRORS["abort"]())

    driver = driver_on(fail_commit)
    with pytest.raises(UnavailableError, match="21 barrier writes failed in a row"):
        driver.run()
    assert driver.topics() == ["in.item"]


def test_a_worker_stops_if_its_batches_keep_failing() -> None:
    """Attempts are limited, although barrier writes in between succeed; nothing is published."""
    calls = set[str]()

    def fail_batch(call: str, when: str) -> None:
        if call == "begin_transaction":
            calls.clear()
        calls.add(call)
        # A barrier write either produces tokens or sends an offset, a batch does both.
        if call == "commit_transaction" and calls.issuperset(CALLS):
            raise KafkaException(ERRORS["abort"]())

    driver = driver_on(fail_batch)
    with pytest.raises(UnavailableError, match="21 transactions failed in a row"):
        driver.run()
    assert driver.topics() == ["in.item", "state.double.dlq"]


def test_a_batch_that_is_too_slow_is_committed_in_smaller_ones() -> None:
    """If every transaction of more than three records times out, batches get smaller until they succeed."""
    records = 0

    def fail_large_transactions(call: str, when: str) -> None:
        nonlocal records
        if call == "begin_transaction":
            records = 0
        elif (call, when) == ("produce", "before"):
            records += 1
        elif (call, when) == ("commit_transaction", "before") and records > 3:
            raise KafkaException(ERRORS["timeout"]())

    driver = toys.create_driver()
    driver.log.on_call = fail_large_transactions
    toys.pipe_items(driver, AMOUNTS)
    driver.run()
    assert toys.sums(driver) == toys.expected_sums(AMOUNTS)


def test_a_worker_that_takes_over_a_slot_stops_the_previous_one() -> None:
    """The next producer with the same `transactional.id` fences the previous one, which can't commit any more."""
    driver = toys.create_driver(settings=toys.batches_of(1))
    toys.pipe_items(driver, [("a", 1), ("b", 1)])
    previous = driver.pipeline("double")
    _run_until_records(previous)
    driver.restart("double")
    driver.run("double")
    toys.pipe_items(driver, [("c", 1)])
    with pytest.raises(FencedError):
        _run_until_records(previous)
    driver.run()
    assert toys.sums(driver) == {"a": [2], "b": [2], "c": [2]}


@pytest.mark.parametrize("step", ["double", "total"])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("call", ["begin_transaction", "send_offsets_to_transaction", "commit_transaction"])
def test_records_of_a_revoked_partition_are_processed_once(call: str, lost: bool, step: str) -> None:
    """Begin a rebalance during a batch: the broker rejects offsets with an old generation, and nothing counts twice."""
    driver = toys.create_driver(settings=toys.batches_of(2))
    toys.pipe_items(driver, AMOUNTS)
    if step == "total":
        driver.run("double")
    calls = FailCalls()

    def rebalance(name: str, when: str) -> None:
        calls(name, when)
        # The first two transactions write barrier tokens, the third is that of a batch.
        if (name, when, calls.calls[name, when]) == (call, "before", 3):
            driver.log.members[group(step)].revoke_all(lost)

    driver.log.on_call = rebalance
    driver.run()
    assert calls.calls[call, "before"] > 3
    assert toys.sums(driver) == toys.expected_sums(AMOUNTS)


def test_after_each_failed_barrier_write_the_worker_polls_first() -> None:
    """The group must hear from a member in time: a run after a failed one begins no barrier write, whichever failed."""
    fail_calls = FailCalls(
        {
            ("send_offsets_to_transaction", "before", 0): ERRORS["timeout"](),
            ("send_offsets_to_transaction", "before", 1): ERRORS["timeout"](),
            ("produce", "before", 0): ERRORS["timeout"](),
        }
    )
    driver = toys.create_driver()
    driver.log.on_call = fail_calls
    toys.pipe_items(driver, AMOUNTS)
    pipeline = driver.pipeline("double")
    transactions = []
    for _ in range(7):
        before = fail_calls.calls["begin_transaction", "before"]
        pipeline.run_once()
        transactions.append(fail_calls.calls["begin_transaction", "before"] - before)
    # The first run joins the group. The sixth writes the first token, and fails to write the second.
    assert transactions == [0, 1, 0, 1, 0, 2, 0]
    driver.run()
    assert_processed_once(driver)


def _run_until_records(pipeline: Pipeline) -> None:
    for _ in range(10):
        if pipeline.run_once():
            return
    raise AssertionError("ten runs committed no record")
