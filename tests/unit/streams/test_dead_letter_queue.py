"""Records behind a dead letter with the same ordering key are blocked, others are processed; commands release them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schemas.tables import table_from_rows
from streams import command_handler
from streams.bisection import BisectingRunner
from streams.dead_letter_queue import BlockedKeys, DeadLetterQueue, QueueEntry
from streams.testing import driver as driver_module
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import ledger_processors, toys
from tests.unit.streams.ledger_processors import (
    Count,
    CountByPerson,
    Entry,
    Model,
    PassOn,
    PassOnByPerson,
    amounts_by_person,
    create_driver,
    pipe_entries,
    published,
)

pytestmark = pytest.mark.unit
PROCESSORS: list[Callable[[], Any]] = [PassOn, PassOnByPerson, Count, CountByPerson]


def dead_letter_id_at(driver: TopologyTestDriver, offset: int) -> str:
    """Return the id of the open dead letter at an offset."""
    (digest,) = {
        entry["digest"]
        for entry in driver.dlq_entries("ledger")
        if entry["kind"] == "DEAD_LETTER" and entry["offset"] == offset
    }
    return str(digest)


def encoded(entry: Entry) -> bytes:
    """Return an entry as an encoded record value."""
    table = table_from_rows("item", toys.items([entry]), toys.CATALOGUE)
    value: bytes = toys.CODEC.encode("item", table).to_pylist()[0]
    return value


def queued(driver: TopologyTestDriver) -> list[tuple[int, bool]]:
    """Return the amount of each entry in the dead-letter queue, and whether it is a dead letter, in order."""
    entries = sorted(driver.dlq_entries("ledger"), key=lambda entry: int(entry["offset"]))
    amounts = [row["amount"] for row in driver.rows("entry")]
    return [(amounts[entry["offset"]], entry["kind"] == "DEAD_LETTER") for entry in entries]


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("invalid", [13, 23])
def test_later_records_of_the_same_person_are_blocked_and_all_others_are_processed(
    processor: Any, invalid: int
) -> None:
    """Block records of the same batch and of later ones, whether the processor raises or returns poison."""
    driver = create_driver(processor())
    pipe_entries(driver, [("a", 1), ("a", invalid), ("b", 1), ("a", 2), ("c", 1)])
    driver.run()
    pipe_entries(driver, [("a", 3), ("b", 2)])
    driver.run()
    assert amounts_by_person(published(driver)) == {"a": [1], "b": [1, 2], "c": [1]}
    entries = sorted((entry["offset"], entry["kind"]) for entry in driver.dlq_entries("ledger"))
    assert entries == [(1, "DEAD_LETTER"), (3, "BLOCKED"), (5, "BLOCKED")]
    assert [row["offset"] for row in driver.dead_letters("ledger")] == [1]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_after_a_repair_the_blocked_records_follow_in_order(processor: Any) -> None:
    """Process the repaired value, then all blocked records, and publish the new status of the dead letter."""
    driver = create_driver(processor())
    pipe_entries(driver, [("a", 13), ("a", 2), ("b", 1), ("a", 3)])
    driver.run()
    driver.send_command("ledger", "REPAIR", dead_letter_id_at(driver, 0), encoded(("a", 7)))
    driver.run()
    assert published(driver) == [("b", 1), ("a", 7), ("a", 2), ("a", 3)]
    assert driver.dlq_entries("ledger") == []
    assert [row["status"] for row in driver.dead_letters("ledger")] == ["OPEN", "REPAIRED"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_failed_retry_changes_only_the_reason(processor: Any) -> None:
    """Keep the dead letter with its original content and its new reason, and keep the records behind it blocked."""
    driver = create_driver(processor())
    pipe_entries(driver, [("a", 13), ("a", 2)])
    driver.run()
    driver.send_command("ledger", "RETRY", dead_letter_id_at(driver, 0))
    driver.run()
    assert published(driver) == []
    assert [row["status"] for row in driver.dead_letters("ledger")] == ["OPEN", "OPEN"]
    driver.send_command("ledger", "REPAIR", dead_letter_id_at(driver, 0), encoded(("a", 23)))
    driver.run()
    assert driver.dead_letters("ledger")[-1]["reason"] == "poison"
    assert driver.dead_letters("ledger")[-1]["value"] == encoded(("a", 13))
    assert len(driver.dlq_entries("ledger")) == 2


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_retry_succeeds_after_the_processor_was_corrected(
    processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A released record may become a dead letter itself, and blocks the records behind it."""
    driver = create_driver(processor())
    pipe_entries(driver, [("a", 13), ("a", 2), ("a", 14), ("a", 3)])
    driver.run()
    monkeypatch.setattr(ledger_processors, "RAISING", frozenset({14}))
    driver.restart("ledger")
    driver.send_command("ledger", "RETRY", dead_letter_id_at(driver, 0))
    driver.run()
    assert published(driver) == [("a", 13), ("a", 2)]
    entries = [(row["offset"], row["kind"], row["blocked_by"]) for row in driver.dlq_entries("ledger")]
    assert sorted(entries) == [(2, "DEAD_LETTER", []), (3, "BLOCKED", [dead_letter_id_at(driver, 2)])]


@pytest.mark.parametrize("processor", [CountByPerson, PassOnByPerson])
def test_a_record_behind_two_dead_letters_waits_for_both(processor: Any) -> None:
    """An entry of two persons is blocked until the dead letters of both are resolved."""
    driver = create_driver(processor())
    pipe_entries(driver, [("a", 13), ("b", 13), ("a+b", 1), ("b", 2), ("c", 1)])
    driver.run()
    assert published(driver) == [("c", 1)]
    driver.send_command("ledger", "DISMISS", dead_letter_id_at(driver, 0))
    driver.run()
    assert published(driver) == [("c", 1)]
    driver.send_command("ledger", "DISMISS", dead_letter_id_at(driver, 1))
    driver.run()
    assert published(driver) == [("c", 1), ("a+b", 1), ("b", 2)]


def test_a_record_does_not_wait_for_a_blocked_record_after_it() -> None:
    """In one batch, poison of "b" is a dead letter, although a later entry of "b" is blocked behind "a"."""
    driver = create_driver(PassOnByPerson())
    pipe_entries(driver, [("a", 13)])
    driver.run()
    pipe_entries(driver, [("b", 13), ("a+b", 1)])
    driver.run()
    assert queued(driver) == [(13, True), (13, True), (1, False)]


def test_a_command_is_applied_once_whenever_the_worker_restarts() -> None:
    """A restarted worker reads all commands again, but skips those that were applied."""
    driver = create_driver(Count())
    pipe_entries(driver, [("a", 13)])
    driver.run()
    driver.send_command("ledger", "RETRY", dead_letter_id_at(driver, 0))
    driver.run()
    dead_letters_before = len(driver.dead_letters("ledger"))
    driver.restart("ledger")
    driver.run()
    assert len(driver.dead_letters("ledger")) == dead_letters_before == 2


def test_a_command_that_precedes_its_dead_letter_is_remembered() -> None:
    """In a replay a command may be read before the record of its dead letter is processed."""
    original = create_driver(PassOn())
    pipe_entries(original, [("a", 13), ("a", 2)])
    original.run()
    replay = create_driver(PassOn())
    pipe_entries(replay, [("b", 1)])
    replay.send_command("ledger", "DISMISS", dead_letter_id_at(original, 0))
    replay.run()
    pipe_entries(replay, [("a", 13), ("a", 2)])
    replay.run()
    assert published(replay) == [("b", 1), ("a", 2)]
    assert replay.dlq_entries("ledger") == []


def test_an_undecodable_record_blocks_no_other() -> None:
    """It has no ordering key, whatever its record key is; it can be dismissed."""
    driver = create_driver(PassOn())
    driver.pipe_bytes("entry", b"\xff\x00no avro", "a")
    pipe_entries(driver, [("a", 1)])
    driver.run()
    assert published(driver) == [("a", 1)]
    driver.send_command("ledger", "DISMISS", dead_letter_id_at(driver, 0))
    driver.run()
    assert driver.dlq_entries("ledger") == []
    assert driver.dead_letters("ledger")[-1]["status"] == "DISMISSED"


def test_content_of_dead_letters_is_readable_neither_in_topics_nor_in_logs() -> None:
    """Seal key and value in dead letters and commands; log positions, never content."""
    driver = create_driver(PassOn())
    pipe_entries(driver, [("personal-name", 13), ("personal-name", 2)])
    with capture_logs() as logs:
        driver.run()
        repaired = encoded(("personal-name", 14))
        driver.send_command("ledger", "REPAIR", dead_letter_id_at(driver, 0), repaired)
        driver.run()
    for topic in ("dlq.ledger", "command.ledger"):
        assert driver.log.topic_records(topic)
        for record in driver.log.topic_records(topic):
            assert b"personal-name" not in (record.value_bytes or b"") + (record.key_bytes or b"")
    assert "personal-name" not in repr(logs)
    assert any(line["event"] == "record.dead-lettered" and line["offset"] == 0 for line in logs)


ENTRIES = st.tuples(st.sampled_from(["a", "b", "c", "a+b"]), st.sampled_from([1, 2, 3, 4, 5, 13, 23]))
#: Type of a command, which dead letter it is for, and the amount of a repair.
COMMANDS = st.tuples(
    st.sampled_from(["RETRY", "REPAIR", "DISMISS"]), st.integers(0, 10), st.sampled_from([6, 7, 14, 24])
)
ACTIONS = st.lists(st.one_of(ENTRIES, COMMANDS, st.just("restart"), st.just("run")), max_size=30)


@pytest.mark.parametrize("processor", PROCESSORS)
@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS, seed=st.integers(0, 2**32))
def test_each_persons_entries_stay_in_order_whatever_happens(
    processor: Any, actions: list[Any], seed: int
) -> None:
    """With any entries, commands, batch sizes and restarts no entry is lost, duplicated, stuck or out of order."""
    check_against_model(processor, actions, seed)


#: Entries of two persons, poison of each kind, every command type, and a restart before each command.
SCENARIO: list[Any] = [("a", 1), ("a", 13), ("b", 1), ("a", 2), ("a+b", 3), "run", ("a", 4), "restart"]
SCENARIO += [
    ("REPAIR", 0, 7),
    "restart",
    ("b", 23),
    ("b", 5),
    ("c", 1),
    ("RETRY", 0, 6),
    "restart",
    ("DISMISS", 0, 6),
]


def _never_blocked(self: BlockedKeys, keys: Collection[str]) -> tuple[str, ...]:
    return ()


def _restore_nothing(self: DeadLetterQueue, entries: Any) -> None:
    pass


def _never_done(self: DeadLetterQueue, command_id: str) -> bool:
    return False


def _in_reverse(entries: Iterable[QueueEntry]) -> list[QueueEntry]:
    return sorted(entries, key=lambda entry: -entry.offset)


FAULTS: list[tuple[Any, str, Any]] = [
    (BlockedKeys, "blocked_by", _never_blocked),
    (DeadLetterQueue, "restore", _restore_nothing),
    (DeadLetterQueue, "is_done", _never_done),
    (command_handler, "in_order", _in_reverse),
    (BisectingRunner, "run_one", lambda self, batch: None),
]


def test_the_scenario_passes_without_a_fault() -> None:
    """Otherwise the next test would prove nothing."""
    for processor in PROCESSORS:
        check_against_model(processor, SCENARIO, 3)


@pytest.mark.parametrize(("owner", "name", "fault"), FAULTS, ids=[name for _, name, _ in FAULTS])
def test_a_seeded_fault_is_detected(
    owner: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detect that nothing is blocked or restored, commands are repeated, order is lost, or a retry isn't processed."""
    monkeypatch.setattr(owner, name, fault)
    monkeypatch.setattr(driver_module, "RUNS_MAX", 500)
    with pytest.raises((AssertionError, RuntimeError)):
        check_against_model(Count, SCENARIO, 3)


def check_against_model(processor: Any, actions: list[Any], seed: int) -> None:
    """Apply the same actions to a step and to the model, and assert that output and queue are equal."""
    driver = create_driver(processor(), seed)
    model = Model(by_person=processor in (CountByPerson, PassOnByPerson))
    for action in actions:
        if action == "restart":
            driver.restart("ledger")
        elif action == "run":
            driver.run()
        elif len(action) == 2:
            pipe_entries(driver, [action])
            model.process(action)
        else:
            _apply_command(driver, model, *action)
    driver.run()
    for _ in range(2):
        assert amounts_by_person(published(driver)) == amounts_by_person(model.published)
        assert queued(driver) == [(amount, is_dead_letter) for (_, amount), is_dead_letter in model.queue]
        driver.restart("ledger")
        driver.run()


def _apply_command(
    driver: TopologyTestDriver, model: Model, command: str, choice: int, repaired_amount: int
) -> None:
    driver.run()
    indices = model.dead_letter_indices
    if not indices:
        return
    offsets = sorted(row["offset"] for row in driver.dlq_entries("ledger") if row["kind"] == "DEAD_LETTER")
    assert len(offsets) == len(indices)
    chosen = choice % len(indices)
    digest = dead_letter_id_at(driver, offsets[chosen])
    (name, _), _ = model.queue[indices[chosen]]
    value = encoded((name, repaired_amount)) if command == "REPAIR" else None
    driver.send_command("ledger", command, digest, value)
    model.apply_command(indices[chosen], command, repaired_amount)
