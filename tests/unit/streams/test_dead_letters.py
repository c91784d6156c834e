"""A record that can't be processed goes aside with its bytes; the others go on."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from streams.errors import BrokenStepError
from streams.settings import PipelineSettings
from streams.testing.driver import TopologyTestDriver
from tests.unit.streams import toys


def test_bytes_that_are_no_record_are_kept_as_they_came() -> None:
    """Origin, time, reason, key and bytes; and the ones around them go on."""
    driver = toys.driver()
    toys.feed(driver, [("a", 1)])
    driver.feed_bytes("in.item", b"\xff\x00no avro", "k", timestamp_ms=77)
    driver.feed_bytes("in.item", None, "k")
    toys.feed(driver, [("a", 2)])
    driver.run()
    assert toys.told(driver) == {"a": [2, 6]}
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
        "note": None,
    }
    assert (second["reason"], second["offset"], second["value"]) == ("null-value", 2, None)


def test_a_key_that_is_no_text_is_set_aside() -> None:
    """Keys are text by the contract; bytes that aren't can't be handed over."""
    driver = toys.driver()
    toys.feed(driver, [("a", 1)])
    value = driver.log.records["in.item", 0][0].value_bytes
    driver.log.append("in.item", b"\xff\xfe", value)
    driver.run()
    assert toys.told(driver) == {"a": [2]}
    assert [(each["reason"], each["key"]) for each in driver.dead_letters("double")] == [
        ("key-not-text", b"\xff\xfe")
    ]


def test_pieces_of_a_character_are_no_text() -> None:
    """Nor where two keys, one after the other, would make it whole."""
    driver = toys.driver()
    toys.feed(driver, [("a", 1)])
    value = driver.log.records["in.item", 0][0].value_bytes
    first, rest = "あ".encode()[:1], "あ".encode()[1:]
    driver.log.append("in.item", first, value)
    driver.log.append("in.item", rest, value)
    driver.run()
    assert [each["key"] for each in driver.dead_letters("double")] == [first, rest]


def test_only_the_record_that_raises_is_set_aside() -> None:
    """A stateless step: found by halves, whatever its place; and logs say type and place, never the text."""
    driver = toys.driver()
    toys.feed(driver, [("a", 1), (toys.RAISES, 1), ("b", 1), ("a", 3)])
    with capture_logs() as logs:
        driver.run()
    assert toys.told(driver) == {"a": [2, 8], "b": [2]}
    assert [(each["reason"], each["offset"]) for each in driver.dead_letters("double")] == [
        ("unexpected:ValueError", 1)
    ]
    assert "personal data" not in repr(logs)
    assert any(entry["event"] == "record.failed" and entry["at"].startswith("toys.py:") for entry in logs)


def test_state_of_a_failed_attempt_is_discarded() -> None:
    """A stateful step raises after it changed its state: nothing of that stays, in memory or on the changelog."""
    driver = toys.driver()
    driver.log.create("item", 1)
    rows = toys.items([("a", 1), (toys.RAISES, 5), ("a", 1), ("a", 1)])
    driver.pipe_input("item", "item", rows, lambda row: str(row["name"]))
    driver.run("total")
    assert toys.told(driver) == {"a": [1, 2, 3]}
    assert [each["offset"] for each in driver.dead_letters("total")] == [1]
    assert driver.rows("state.total.sums")[-1] == {"name": "a", "sum": 3}
    assert {row["name"] for row in driver.rows("state.total.sums")} == {"a"}


def test_a_step_that_fails_on_everything_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a limit the step is at fault: nothing is set aside, nothing is committed."""
    monkeypatch.setattr(TopologyTestDriver, "_settings", lambda self: PipelineSettings(failures_max=3))
    driver = toys.driver()
    for number in range(4):
        driver.pipe_input("in.item", "item", toys.items([(toys.RAISES, 1)]), f"k{number}")
    with pytest.raises(BrokenStepError, match="4 records"):
        driver.run()
    assert driver.topics() == ["in.item", "state.double.dlq"]
    assert driver.dlq_entries("double") == []
    assert driver.log.lag("mesh.double", ["in.item"]) == 4


def test_a_record_too_large_to_send_on_stays_at_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """An output over the limit is poison; a letter that can't hold the bytes says where they stand."""
    monkeypatch.setattr(
        TopologyTestDriver, "_settings", lambda self: PipelineSettings(record_bytes_max=2_000)
    )
    driver = toys.driver()
    toys.feed(driver, [("a", 1), ("n" * 2_000, 1), ("a", 1)])
    driver.run()
    assert toys.told(driver) == {"a": [2, 4]}
    (letter,) = driver.dead_letters("double")
    assert (letter["reason"], letter["value"]) == ("unexpected:ValueError:content-at-source", None)
