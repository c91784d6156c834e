"""A record that can't be processed becomes a dead letter with its content; all others are processed."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from streams.errors import BrokenStepError
from streams.settings import PipelineSettings
from tests.unit.streams import toys


def test_undecodable_bytes_are_kept_unchanged() -> None:
    """Publish origin, timestamp, reason, key and value; process the records before and after."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [("a", 1)])
    driver.pipe_bytes("in.item", b"\xff\x00no avro", "k", timestamp_ms=77)
    driver.pipe_bytes("in.item", None, "k")
    toys.pipe_items(driver, [("a", 2)])
    driver.run()
    assert toys.sums(driver) == {"a": [2, 6]}
    first, second = driver.dead_letters("double")
    assert first | {"digest": ""} == {
        "step": "double",
        "reason": "not-wire-format",
        "topic": "in.item",
        "partition": 0,
        "offset": 1,
        "timestamp_ms": 77,
        "key": b"k",
        "value": b"\xff\x00no avro",
        "sealed": True,
        "digest": "",
        "status": "OPEN",
        "command": None,
        "dismissal_reason": None,
    }
    assert (second["reason"], second["offset"], second["value"]) == ("null-value", 2, None)


def test_a_record_whose_key_is_not_text_becomes_a_dead_letter() -> None:
    """Processors receive keys as text, so other bytes can't be passed on."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [("a", 1)])
    value = driver.log.records["in.item", 0][0].value_bytes
    driver.log.append("in.item", b"\xff\xfe", value)
    driver.run()
    assert toys.sums(driver) == {"a": [2]}
    dead_letters = [(row["reason"], row["key"]) for row in driver.dead_letters("double")]
    assert dead_letters == [("key-not-text", b"\xff\xfe")]


def test_two_halves_of_a_character_are_not_text() -> None:
    """Reject both keys, although their concatenation is valid UTF-8."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [("a", 1)])
    value = driver.log.records["in.item", 0][0].value_bytes
    first, second = "あ".encode()[:1], "あ".encode()[1:]
    driver.log.append("in.item", first, value)
    driver.log.append("in.item", second, value)
    driver.run()
    assert [row["key"] for row in driver.dead_letters("double")] == [first, second]


def test_only_the_record_that_raises_becomes_a_dead_letter() -> None:
    """Find it by bisection in a stateless step; log the error's type and location, never its text."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [("a", 1), (toys.RAISES, 1), ("b", 1), ("a", 3)])
    with capture_logs() as logs:
        driver.run()
    assert toys.sums(driver) == {"a": [2, 8], "b": [2]}
    dead_letters = [(row["reason"], row["offset"]) for row in driver.dead_letters("double")]
    assert dead_letters == [("unexpected:ValueError", 1)]
    assert "personal data" not in repr(logs)
    assert any(line["event"] == "record.failed" and line["at"].startswith("toys.py:") for line in logs)


def test_state_changes_of_a_failed_attempt_are_discarded() -> None:
    """A stateful step raises after a change of its state: the change is neither in memory nor in the changelog."""
    driver = toys.create_driver()
    driver.log.create("item", 1)
    rows = toys.items([("a", 1), (toys.RAISES, 5), ("a", 1), ("a", 1)])
    driver.pipe_input("item", "item", rows, lambda row: str(row["name"]))
    driver.run("total")
    assert toys.sums(driver) == {"a": [1, 2, 3]}
    assert [row["offset"] for row in driver.dead_letters("total")] == [1]
    assert driver.rows("state.total.sums")[-1] == {"name": "a", "sum": 3}
    assert {row["name"] for row in driver.rows("state.total.sums")} == {"a"}


def test_a_step_that_fails_on_every_record_stops() -> None:
    """After `failures_max` failures the step is at fault: no dead letter is published, no offset committed."""
    driver = toys.create_driver(settings=PipelineSettings(failures_max=3))
    for number in range(4):
        driver.pipe_input("in.item", "item", toys.items([(toys.RAISES, 1)]), f"k{number}")
    with pytest.raises(BrokenStepError, match="4 records"):
        driver.run()
    assert driver.topics() == ["in.item", "state.double.dlq"]
    assert driver.dlq_entries("double") == []
    assert driver.log.lag("mesh.double", ["in.item"]) == 4


def test_a_dead_letter_that_would_be_too_large_has_no_content() -> None:
    """A record with an output over the limit becomes a dead letter; its content stays at its record position."""
    driver = toys.create_driver(settings=PipelineSettings(record_bytes_max=2_000))
    toys.pipe_items(driver, [("a", 1), ("n" * 2_000, 1), ("a", 1)])
    driver.run()
    assert toys.sums(driver) == {"a": [2, 4]}
    (dead_letter,) = driver.dead_letters("double")
    assert dead_letter["reason"] == "unexpected:ValueError:content-at-source"
    assert dead_letter["value"] is None
