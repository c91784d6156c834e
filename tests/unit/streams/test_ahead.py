"""A step without state works on the next batch while the client sends the last; each is still whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.errors import BrokenStepError, FencedError
from streams.pipeline import Pipeline
from streams.processing import Groups, Processing
from streams.task import TaskState
from streams.testing.driver import TopologyTestDriver
from streams.testing.memory_log import MemoryConsumer
from tests.unit.streams import toys

AMOUNTS = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)]
TIMED_OUT = KafkaError._TIMED_OUT


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in order: transactions that begin and are committed, and the first offset of a batch worked on."""
    seen: list[str] = []
    run = Processing.run

    def noted(self: Processing, groups: Groups, kept: Mapping[Any, TaskState]) -> Any:
        seen.append(f"work {next(iter(groups.values()))[0].offset()}")
        return run(self, groups, kept)

    monkeypatch.setattr(Processing, "run", noted)
    return seen


def _started(
    calls: list[str],
    amounts: list[tuple[str, int]],
    others: Sequence[tuple[str, int]] = (),
    fails: str = "",
) -> tuple[TopologyTestDriver, Pipeline]:
    """The first step before these and another topic's, two to a batch; one call fails, by name, moment and number."""
    driver = toys.driver(cut=2)
    counts: dict[str, int] = {}

    def strike(call: str, when: str) -> None:
        if when == "before" and call in ("begin_transaction", "commit_transaction"):
            counts[call] = counts.get(call, -1) + 1
            calls.append(call.removesuffix("_transaction"))
        if fails == f"{call} {when} {counts.get(call)}":
            raise KafkaException(KafkaError(TIMED_OUT, txn_requires_abort=when == "before"))

    toys.feed(driver, amounts)
    driver.pipe_input("in.more", "item", toys.items(others), "another")
    worker = driver._pipeline(driver._steps[0])
    worker._has_committed = True
    while not worker.partitions or worker.restoring:
        worker.run_once()
    driver.log.on_call = strike
    return driver, worker


def _until_ahead(worker: Pipeline) -> None:
    for _ in range(5):
        if worker.unsent_records:
            return
        worker.run_once()
    raise AssertionError("nothing is ahead")


def test_the_next_is_worked_on_while_the_last_is_sent(calls: list[str]) -> None:
    """Sent before it is worked on, committed after; the last, which isn't full, at once."""
    driver, _ = _started(calls, [*AMOUNTS, ("c", 7)])
    driver.run("double")
    assert calls == [
        *("work 0", "begin", "work 2", "commit", "begin", "work 4", "commit"),
        *("begin", "work 6", "commit", "begin", "commit"),
    ]
    driver.run()
    assert toys.told(driver) == toys.expected([*AMOUNTS, ("c", 7)])


def test_a_full_batch_with_nothing_behind_it_is_sent_with_the_next_turn(calls: list[str]) -> None:
    """It doesn't wait for records that don't come."""
    driver, worker = _started(calls, AMOUNTS[:2])
    _until_ahead(worker)
    assert worker.run_once() == 2
    assert calls == ["work 0", "begin", "commit"]
    driver.run()
    assert toys.told(driver) == toys.expected(AMOUNTS[:2])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_was_worked_on_meanwhile_goes_with_one_that_failed(
    calls: list[str], number: int, when: str
) -> None:
    """It comes again, with its dead letter, whether the one before it took place or not."""
    amounts = [*AMOUNTS[:3], (toys.POISON, 1), *AMOUNTS[3:]]
    driver, worker = _started(calls, amounts, fails=f"commit_transaction {when} {number}")
    driver.run()
    assert toys.told(driver) == toys.expected(amounts)
    assert [each["offset"] for each in driver.dlq_entries("double")] == [3]
    assert [each["offset"] for each in driver.dead_letters("double")] == [3]
    assert not worker.unsent_records


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_read_of_other_partitions_comes_again_too(calls: list[str], when: str) -> None:
    """The one that failed says nothing of them."""
    others = [("d", 1), ("e", 2), ("d", 3)]
    driver, _ = _started(calls, AMOUNTS[:2], others, fails=f"commit_transaction {when} 0")
    driver.run()
    assert toys.told(driver) == toys.expected([*AMOUNTS[:2], *others])


def test_what_sets_aside_is_ended_before_the_next(calls: list[str]) -> None:
    """The next must be told of it: a record of the same strand is parked behind it."""
    driver, _ = _started(calls, [*AMOUNTS[:2], (toys.POISON, 1), *AMOUNTS[2:]])
    driver.run("double")
    assert calls[:7] == ["work 0", "begin", "work 2", "commit", "begin", "commit", "work 4"]


def test_what_fails_meanwhile_keeps_nothing_back(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is broken, a registry that is away: what came before is committed."""
    driver, worker = _started(calls, AMOUNTS)
    _until_ahead(worker)

    def broken(self: Processing, groups: Groups, kept: Mapping[Any, TaskState]) -> Any:
        raise BrokenStepError("no record of this batch")

    with monkeypatch.context() as patch:
        patch.setattr(Processing, "run", broken)
        with pytest.raises(BrokenStepError):
            worker.run_once()
    assert [each["amount"] for each in driver.rows("item")] == [2, 4]
    driver.restart("double")
    driver.run()
    assert toys.told(driver) == toys.expected(AMOUNTS)


@pytest.mark.parametrize("lost", [False, True])
def test_what_is_another_s_by_then_is_not_sent(
    calls: list[str], lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group takes the partition between two reads: nothing was sent yet, and nothing is."""
    consumers: list[MemoryConsumer] = []
    subscribe = MemoryConsumer.subscribe

    def noted(self: MemoryConsumer, *topics: Any, **callbacks: Any) -> None:
        consumers.append(self)
        subscribe(self, *topics, **callbacks)

    monkeypatch.setattr(MemoryConsumer, "subscribe", noted)
    driver, worker = _started(calls, AMOUNTS)
    _until_ahead(worker)
    consumers[0].revoke_all(lost)
    assert worker.run_once() == 0
    assert calls == ["work 0"]
    driver.run()
    assert toys.told(driver) == toys.expected(AMOUNTS)


def test_an_act_comes_after_what_is_ahead(calls: list[str]) -> None:
    """What was worked on before the act is committed before it: the act may hold more than the letter did."""
    driver, worker = _started(calls, [(toys.POISON, 1), *AMOUNTS])
    while not driver.dlq_entries("double"):
        worker.run_once()
    _until_ahead(worker)
    driver.send_command("double", "DISMISS", driver.dlq_entries("double")[0]["digest"])
    calls.clear()
    assert worker.run_once() == 2
    assert calls == ["begin", "commit"]
    assert driver.dlq_entries("double"), "the act is of the next turn"
    driver.run()
    assert driver.dlq_entries("double") == []
    assert toys.told(driver) == toys.expected(AMOUNTS)


@pytest.mark.parametrize(("slow", "fenced_max"), [({2}, 1), ({0, 2, 4}, 0), ({2, 4}, 1)])
def test_a_batch_that_takes_longer_than_a_transaction_may_is_done(
    slow: set[int], fenced_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker fences who has one open for so long; whoever comes next commits what is before it alone."""
    driver = toys.driver(cut=2)
    run, begun_ms = Processing.run, [0]

    def worked(self: Processing, groups: Groups, kept: Mapping[Any, TaskState]) -> Any:
        if self._context.step.name == "double" and next(iter(groups.values()))[0].offset() in slow:
            driver.log.now_ms += 12_000
        return run(self, groups, kept)

    def strike(call: str, when: str) -> None:
        if (call, when) == ("begin_transaction", "before"):
            begun_ms[0] = driver.log.now_ms
        elif (call, when) == ("commit_transaction", "before") and driver.log.now_ms > begun_ms[0] + 10_000:
            raise KafkaException(KafkaError(KafkaError._FENCED, fatal=True))

    monkeypatch.setattr(Processing, "run", worked)
    driver.log.on_call = strike
    toys.feed(driver, AMOUNTS)
    fenced = 0
    while fenced <= fenced_max:
        try:
            driver.run("double")
            break
        except FencedError:
            fenced += 1
            driver.restart("double")
    assert fenced <= fenced_max
    driver.run()
    assert toys.told(driver) == toys.expected(AMOUNTS)
