"""Attack: records that can't be decoded, in great numbers; each becomes a dead letter, and slowed every later batch."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from schemas.topics import command_topic
from streams import command_handler
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import toys

pytestmark = pytest.mark.unit

#: Few, so that the test is short: a batch that takes time for each of them makes thousands of calls more.
UNDECODABLE = 2_000


def attacked(records: int) -> TopologyTestDriver:
    """Return a driver whose step `double` has so many dead letters that can't be decoded, one of them dismissed."""
    driver = toys.create_driver()
    for number in range(records):
        driver.pipe_bytes("in.item", b"\xffno avro %d" % number, "k")
    toys.pipe_items(driver, [("a", 1)])
    driver.run("double")
    if records:
        driver.send_command("double", "DISMISS", driver.dead_letters("double")[0]["digest"])
        driver.run("double")
    return driver


def calls_of_a_batch(driver: TopologyTestDriver) -> int:
    """Return how many Python functions `double` calls for a batch of one valid record and one undecodable one."""
    driver.pipe_bytes("in.item", b"\xffno avro, again", "k")
    toys.pipe_items(driver, [("a", 2)])
    pipeline, calls = driver.pipeline("double"), 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        assert pipeline.run_once() == 2
        pipeline.run_once()
    finally:
        sys.setprofile(None)
    return calls


def test_a_batch_takes_no_time_for_undecodable_records_before_it() -> None:
    """It calls as many functions as without them, also while there are operator commands."""
    without, behind = attacked(1), attacked(UNDECODABLE)
    assert abs(calls_of_a_batch(behind) - calls_of_a_batch(without)) < UNDECODABLE / 20
    assert [row["amount"] for row in behind.rows("item")] == [2, 4]


def test_a_failed_transaction_takes_no_time_for_them_either() -> None:
    """Its changes of the queue are undone one by one: the queue isn't read from the changelog's entries again."""
    driver = attacked(UNDECODABLE)
    (task,) = driver.pipeline("double").tasks.values()
    before = task.dead_letters.counts(), sorted(map(repr, task.dead_letters.dead_letters(_ids(driver))))
    dead_letter = task.dead_letters.dead_letters(_ids(driver))[0]
    task.dead_letters.remove(dead_letter)
    task.dead_letters.mark_done("in.operator/0/9")
    task.dead_letters.put(dead_letter)
    task.rollback()
    assert (
        task.dead_letters.counts(),
        sorted(map(repr, task.dead_letters.dead_letters(_ids(driver)))),
    ) == before
    assert not task.dead_letters.is_done("in.operator/0/9")
    assert not task.dead_letters.has_changes


def _ids(driver: TopologyTestDriver) -> list[str]:
    return list(dict.fromkeys(entry["digest"] for entry in driver.dlq_entries("double")))


def dismiss(driver: TopologyTestDriver, digests: list[str]) -> None:
    """Append one command that dismisses all these dead letters."""
    row = {"id": "in.operator/0/7", "command": "DISMISS", "step": "double", "digest": "", "reason": "attack"}
    driver.log.create(command_topic("double"), 1)
    driver.pipe_input(command_topic("double"), "dead-letter-command", [row | {"digests": digests}], "")


@pytest.fixture
def small_transactions(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a transaction dismiss fewer dead letters than the test has."""
    monkeypatch.setattr(command_handler, "DISMISSED_MAX", 30)
    return 30


def test_one_command_dismisses_all_of_them_in_several_transactions(small_transactions: int) -> None:
    """New records come in between; what failed for another reason, and what came later, stays."""
    driver = attacked(100)
    toys.pipe_items(driver, [(toys.POISON, 1), (toys.POISON, 2)])
    driver.run("double")
    undecodable = [
        entry["digest"]
        for entry in driver.dlq_entries("double")
        if entry["reason"] != "of-poison" and entry["digest"]
    ]
    assert len(undecodable) == 99 > 3 * small_transactions
    dismiss(driver, undecodable)
    driver.pipe_bytes("in.item", b"\xffcame later", "k")
    runs = driver.run("double")
    assert runs
    left = sorted((entry["kind"], entry["reason"]) for entry in driver.dlq_entries("double"))
    assert [kind for kind, _ in left] == ["BLOCKED", "DEAD_LETTER", "DEAD_LETTER"]
    statuses = [row["status"] for row in driver.dead_letters("double")]
    assert statuses.count("DISMISSED") == 1 + 99
    # What has the same content later is another dead letter: the command is done.
    driver.pipe_bytes("in.item", b"\xffno avro 5", "k")
    driver.run("double")
    assert len(driver.dlq_entries("double")) == 4


def test_one_command_dismisses_many_with_the_same_content(small_transactions: int) -> None:
    """They have one ID; its command takes several transactions too, and none reads the records again."""
    driver = toys.create_driver()
    for _ in range(100):
        driver.pipe_bytes("in.item", b"\xffno avro", "k")
    driver.run("double")
    (digest,) = _ids(driver)
    driver.send_command("double", "DISMISS", digest)
    driver.run("double")
    assert driver.dlq_entries("double") == []
    assert not driver.pipeline("double").commands_pending
