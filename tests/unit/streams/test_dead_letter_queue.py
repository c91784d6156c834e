"""What must stay in order behind a dead letter is parked; everybody else's goes on; officers' acts free it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schemas.tables import table_from_rows
from streams.bisection import BisectingRunner
from streams.dead_letter_queue import BlockedKeys, DeadLetterQueue, QueueEntry
from streams.testing import driver
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import ledger_processors, toys
from tests.unit.streams.ledger_processors import (
    Counting,
    Joint,
    JointPassing,
    Model,
    Passing,
    feed,
    told,
    told_of,
)

pytestmark = pytest.mark.unit
STEPS: list[Callable[[], Any]] = [Passing, JointPassing, Counting, Joint]


def letter_of(driver: TopologyTestDriver, offset: int) -> str:
    """The name of the letter at an offset."""
    (found,) = {
        each["digest"]
        for each in driver.dlq_entries("ledger")
        if each["kind"] == "DEAD_LETTER" and each["offset"] == offset
    }
    return str(found)


def value_of(entry: ledger_processors.Entry) -> bytes:
    """An entry, encoded."""
    table = table_from_rows("item", toys.items([entry]), toys.CATALOGUE)
    value: bytes = toys.CODEC.encode("item", table).to_pylist()[0]
    return value


@pytest.mark.parametrize("processor", STEPS)
@pytest.mark.parametrize("bad", [13, 23])
def test_later_records_of_the_same_person_wait_and_all_others_go_on(processor: Any, bad: int) -> None:
    """In the same batch and in later ones, for poison that raises and poison that is told."""
    driver = ledger_processors.driver(processor())
    feed(driver, [("a", 1), ("a", bad), ("b", 1), ("a", 2), ("c", 1)])
    driver.run()
    feed(driver, [("a", 3), ("b", 2)])
    driver.run()
    assert told_of(driver) == {"a": [1], "b": [1, 2], "c": [1]}
    aside = sorted((each["offset"], each["kind"]) for each in driver.dlq_entries("ledger"))
    assert aside == [(1, "DEAD_LETTER"), (3, "BLOCKED"), (5, "BLOCKED")]
    assert [each["offset"] for each in driver.dead_letters("ledger")] == [1]


@pytest.mark.parametrize("processor", STEPS)
def test_after_a_repair_what_was_parked_follows_in_order(processor: Any) -> None:
    """The record with its new value, then all that waited, in one transaction; and the letter says so."""
    driver = ledger_processors.driver(processor())
    feed(driver, [("a", 13), ("a", 2), ("b", 1), ("a", 3)])
    driver.run()
    driver.send_command("ledger", "REPAIR", letter_of(driver, 0), value_of(("a", 7)))
    driver.run()
    assert told(driver) == [("b", 1), ("a", 7), ("a", 2), ("a", 3)]
    assert driver.dlq_entries("ledger") == []
    assert [each["status"] for each in driver.dead_letters("ledger")] == ["OPEN", "REPAIRED"]


@pytest.mark.parametrize("processor", STEPS)
def test_a_retry_in_vain_leaves_all_as_it_was(processor: Any) -> None:
    """Poison again stays a letter, for its new reason, and what waits goes on waiting."""
    driver = ledger_processors.driver(processor())
    feed(driver, [("a", 13), ("a", 2)])
    driver.run()
    driver.send_command("ledger", "RETRY", letter_of(driver, 0))
    driver.run()
    assert told(driver) == []
    assert [each["status"] for each in driver.dead_letters("ledger")] == ["OPEN", "OPEN"]
    driver.send_command("ledger", "REPAIR", letter_of(driver, 0), value_of(("a", 23)))
    driver.run()
    assert driver.dead_letters("ledger")[-1]["reason"] == "poison"
    assert driver.dead_letters("ledger")[-1]["value"] == value_of(("a", 13))
    assert len(driver.dlq_entries("ledger")) == 2


@pytest.mark.parametrize("processor", STEPS)
def test_a_retry_after_the_step_was_mended(processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new release takes what the old one could not."""
    driver = ledger_processors.driver(processor())
    feed(driver, [("a", 13), ("a", 2), ("a", 14), ("a", 3)])
    driver.run()
    monkeypatch.setattr(ledger_processors, "BAD", frozenset({14}))
    driver.restart("ledger")
    driver.send_command("ledger", "RETRY", letter_of(driver, 0))
    driver.run()
    assert told(driver) == [("a", 13), ("a", 2)]
    aside = [(each["offset"], each["kind"], each["blocked_by"]) for each in driver.dlq_entries("ledger")]
    assert sorted(aside) == [(2, "DEAD_LETTER", []), (3, "BLOCKED", [letter_of(driver, 2)])]


@pytest.mark.parametrize("processor", [Joint, JointPassing])
def test_what_was_parked_behind_two_letters_waits_for_both(processor: Any) -> None:
    """An entry of two persons, each with a letter of their own."""
    driver = ledger_processors.driver(processor())
    feed(driver, [("a", 13), ("b", 13), ("a+b", 1), ("b", 2), ("c", 1)])
    driver.run()
    assert told(driver) == [("c", 1)]
    driver.send_command("ledger", "DISMISS", letter_of(driver, 0))
    driver.run()
    assert told(driver) == [("c", 1)]
    driver.send_command("ledger", "DISMISS", letter_of(driver, 1))
    driver.run()
    assert told(driver) == [("c", 1), ("a+b", 1), ("b", 2)]


def test_what_comes_before_a_parked_record_does_not_wait_for_it() -> None:
    """In the same batch: poison of one person is a letter, though a later entry of hers waits for another's."""
    driver = ledger_processors.driver(JointPassing())
    feed(driver, [("a", 13)])
    driver.run()
    feed(driver, [("b", 13), ("a+b", 1)])
    driver.run()
    assert _aside(driver) == [(13, True), (13, True), (1, False)]


def test_an_act_is_done_once_whatever_restarts() -> None:
    """The worker reads all acts again; what was done is not done again."""
    driver = ledger_processors.driver(Counting())
    feed(driver, [("a", 13)])
    driver.run()
    name = letter_of(driver, 0)
    driver.send_command("ledger", "RETRY", name)
    driver.run()
    told_before = len(driver.dead_letters("ledger"))
    driver.restart("ledger")
    driver.run()
    assert len(driver.dead_letters("ledger")) == told_before == 2


def test_an_act_that_comes_before_its_letter_is_remembered() -> None:
    """As in a replay, where acts may be ahead of what they are on."""
    original = ledger_processors.driver(Passing())
    feed(original, [("a", 13), ("a", 2)])
    original.run()
    driver = ledger_processors.driver(Passing())
    feed(driver, [("b", 1)])
    driver.send_command("ledger", "DISMISS", letter_of(original, 0))
    driver.run()
    feed(driver, [("a", 13), ("a", 2)])
    driver.run()
    assert told(driver) == [("b", 1), ("a", 2)]
    assert driver.dlq_entries("ledger") == []


def test_what_cannot_be_decoded_parks_nobody() -> None:
    """It belongs to nobody, whatever its key; it can be given up."""
    driver = ledger_processors.driver(Passing())
    driver.feed_bytes("entry", b"\xff\x00no avro", "a")
    feed(driver, [("a", 1)])
    driver.run()
    assert told(driver) == [("a", 1)]
    driver.send_command("ledger", "DISMISS", letter_of(driver, 0))
    driver.run()
    assert driver.dlq_entries("ledger") == []
    assert driver.dead_letters("ledger")[-1]["status"] == "DISMISSED"


def test_nothing_of_a_letters_content_can_be_read_on_the_log() -> None:
    """Neither key nor value, in letters, acts or what is parked; and logs say where, never what."""
    driver = ledger_processors.driver(Passing())
    feed(driver, [("personal-name", 13), ("personal-name", 2)])
    with capture_logs() as logs:
        driver.run()
        driver.send_command("ledger", "REPAIR", letter_of(driver, 0), value_of(("personal-name", 14)))
        driver.run()
    for topic in ("dlq.ledger", "command.ledger"):
        assert driver.log.of_topic(topic)
        for record in driver.log.of_topic(topic):
            assert b"personal-name" not in (record.value_bytes or b"") + (record.key_bytes or b"")
    assert "personal-name" not in repr(logs)
    assert any(entry["event"] == "record.dead-lettered" and entry["offset"] == 0 for entry in logs)


ENTRIES = st.tuples(st.sampled_from(["a", "b", "c", "a+b"]), st.sampled_from([1, 2, 3, 4, 5, 13, 23]))
DEEDS = st.tuples(
    st.sampled_from(["RETRY", "REPAIR", "DISMISS"]), st.integers(0, 10), st.sampled_from([6, 7, 14, 24])
)
HAPPENINGS = st.lists(st.one_of(ENTRIES, DEEDS, st.just("restart"), st.just("run")), max_size=30)


@pytest.mark.parametrize("processor", STEPS)
@settings(max_examples=60, deadline=None)
@given(happenings=HAPPENINGS, seed=st.integers(0, 2**32))
def test_whatever_happens_each_persons_effects_are_in_order(
    processor: Any, happenings: list[Any], seed: int
) -> None:
    """Any entries, poison and acts, any cut of batches, any restarts: nothing lost, doubled, held back or overtaken."""
    went(processor, happenings, seed)


#: Two persons' entries, poison of each kind, every deed, and a worker that is killed before each of them.
COURSE: list[Any] = [("a", 1), ("a", 13), ("b", 1), ("a", 2), ("a+b", 3), "run", ("a", 4), "restart"]
COURSE += [
    ("REPAIR", 0, 7),
    "restart",
    ("b", 23),
    ("b", 5),
    ("c", 1),
    ("RETRY", 0, 6),
    "restart",
    ("DISMISS", 0, 6),
]


def _no_parking(self: BlockedKeys, waits: Collection[str]) -> tuple[str, ...]:
    return ()


def _nothing_restored(self: DeadLetterQueue, entries: Any) -> None:
    pass


def _done_again(self: DeadLetterQueue, act_id: str) -> bool:
    return False


def _in_no_order(self: DeadLetterQueue) -> list[QueueEntry]:
    return sorted(self._all().values(), key=lambda each: -each.offset)


FAULTS: list[tuple[type, str, Any]] = [
    (BlockedKeys, "blocked_by", _no_parking),
    (DeadLetterQueue, "restore", _nothing_restored),
    (DeadLetterQueue, "is_done", _done_again),
    (DeadLetterQueue, "entries", property(_in_no_order)),
    (BisectingRunner, "run_one", lambda self, part: None),
]


def test_the_course_goes_well_without_a_fault() -> None:
    """Else the next test would show nothing."""
    for processor in STEPS:
        went(processor, COURSE, 3)


@pytest.mark.parametrize(("where", "name", "fault"), FAULTS, ids=[name for _, name, _ in FAULTS])
def test_a_seeded_fault_is_seen(where: type, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing parked, nothing restored, acts done again, no order, a letter said to be processed: each is found."""
    monkeypatch.setattr(where, name, fault)
    monkeypatch.setattr(driver, "TURNS_MAX", 500)
    with pytest.raises((AssertionError, RuntimeError)):
        went(Counting, COURSE, 3)


def went(processor: Any, happenings: list[Any], seed: int) -> None:
    """What happens to the step happens to the model, and both come to the same."""
    driver, model = (
        ledger_processors.driver(processor(), seed),
        Model(joint=processor in (Joint, JointPassing)),
    )
    for each in happenings:
        if each == "restart":
            driver.restart("ledger")
        elif each == "run":
            driver.run()
        elif len(each) == 2:
            feed(driver, [each])
            model.take(each)
        else:
            _act(driver, model, *each)
    driver.run()
    for _ in range(2):
        assert told_of(driver) == ledger_processors.by_person(model.done)
        assert _aside(driver) == [(amount, letter) for (_, amount), letter in model.aside]
        driver.restart("ledger")
        driver.run()


def _act(driver: TopologyTestDriver, model: Model, deed: str, chosen: int, repaired: int) -> None:
    driver.run()
    if not model.letters:
        return
    number = model.letters[chosen % len(model.letters)]
    letters = sorted(e["offset"] for e in driver.dlq_entries("ledger") if e["kind"] == "DEAD_LETTER")
    assert len(letters) == len(model.letters)
    digest = letter_of(driver, letters[model.letters.index(number)])
    (name, _), _ = model.aside[number]
    value = value_of((name, repaired)) if deed == "REPAIR" else None
    driver.send_command("ledger", deed, digest, value)
    model.act(number, deed, repaired)


def _aside(driver: TopologyTestDriver) -> list[tuple[int, bool]]:
    """Amounts of what is set aside, and whether each is a letter; in order."""
    entries = sorted(driver.dlq_entries("ledger"), key=lambda each: int(each["offset"]))
    amounts = [row["amount"] for row in driver.rows("entry")]
    return [(amounts[each["offset"]], each["kind"] == "DEAD_LETTER") for each in entries]
