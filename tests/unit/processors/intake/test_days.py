"""Days of the clock: what intake accepts, and that each goes to every partition."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from processors.intake import IntakeProcessor
from processors.intake.validation_codes import ValidationCode
from streams.contract import Output, Result
from tests.unit.processors.submissions import batch, card_event, key_ring, records_of, rejections

INTAKE = IntakeProcessor(key_ring())
JAPAN = timezone(timedelta(hours=9))
#: The last and the first millisecond around a midnight in Japan.
BEFORE_MIDNIGHT_MS = 1_790_780_399_999
MIDNIGHT_MS = BEFORE_MIDNIGHT_MS + 1


def submit(*days: str | None, received_ms: int = MIDNIGHT_MS) -> Result:
    """Return what intake does with days of the clock."""
    return INTAKE.process(
        [batch("day-begun", "in.clock", [{"day": day} for day in days], received_ms=received_ms)]
    )


def days_of(result: Result) -> list[date]:
    """Return the days that intake passes on."""
    return [row["effective_on"] for row in records_of(result, "person.change")]


def test_a_day_becomes_a_change_of_nobody_in_every_partition() -> None:
    """Days stay in the order of arrival, each with its origin and the time of its receipt."""
    result = submit("2026-09-29", "2026-09-30", "2026-10-01")
    (output,) = result.outputs
    assert (output.topic, output.schema, output.broadcast) == ("person.change", "person-change", True)
    assert output.key.to_pylist() == ["", "", ""]
    assert days_of(result) == [date(2026, 9, 29), date(2026, 9, 30), date(2026, 10, 1)]
    rows = output.table.to_pylist()
    assert {(row["kind"], row["person"], row["seq"], row["municipality"]) for row in rows} == {
        ("DAY_BEGUN", "", 0, None)
    }
    assert [row["origin"] for row in rows] == [
        {"topic": "in.clock", "partition": 0, "offset": offset, "file": None, "line": None}
        for offset in range(3)
    ]
    assert rows[0]["received_at"].astimezone(JAPAN) == datetime(2026, 10, 1, tzinfo=JAPAN)


@pytest.mark.parametrize("day", [None, "", "2026-02-30", "2026-9-1", "2026/09/01", "0000-01-01", "x" * 99])
def test_a_day_that_does_not_exist_is_rejected(day: str | None) -> None:
    """The other days of the batch are accepted."""
    result = submit(day, "2026-10-01")
    assert rejections(result) == [(None, "FORM_DAY")]
    assert days_of(result) == [date(2026, 10, 1)]


def test_a_day_begins_at_midnight_in_japan_by_the_time_of_receipt() -> None:
    """One millisecond earlier it is rejected; the day before is accepted then."""
    assert rejections(submit("2026-10-01", received_ms=BEFORE_MIDNIGHT_MS)) == [(None, "DAY_IN_FUTURE")]
    assert rejections(submit("2026-09-30", received_ms=BEFORE_MIDNIGHT_MS)) == []
    assert days_of(submit("2026-10-01", received_ms=MIDNIGHT_MS)) == [date(2026, 10, 1)]
    assert days_of(submit("1999-01-01")) == [date(1999, 1, 1)]


def test_a_rejected_day_has_a_sentence_and_its_topic() -> None:
    """The clerk of the clock is an operator."""
    (output,) = submit("2026-12-01").outputs
    (rejection,) = output.table.to_pylist()
    assert (output.topic, rejection["system"], rejection["municipality"]) == ("rejected.clock", "clock", None)
    assert rejection["reason"] == ValidationCode.DAY_IN_FUTURE.sentence


def test_only_the_clock_submits_days() -> None:
    """A day on another input topic is a record with the wrong schema."""
    result = INTAKE.process([batch("day-begun", "in.card", [{"day": "2026-09-30"}])])
    assert not result.outputs
    assert [poison.reason for poison in result.poison] == ["wrong-topic"]


def test_days_keep_their_place_between_other_changes() -> None:
    """Outputs have the order of the batches; only the day is broadcast."""
    event = batch("submission-card", "in.card", [card_event()])
    day = batch("day-begun", "in.clock", [{"day": "2026-08-31"}])
    assert [_address(output) for output in INTAKE.process([event, day]).outputs] == [
        ("person.change", False),
        ("person.change", True),
    ]
    assert [_address(output) for output in INTAKE.process([day, event]).outputs] == [
        ("person.change", True),
        ("person.change", False),
    ]


def test_a_day_neither_blocks_nor_waits() -> None:
    """It has no ordering keys."""
    (keys,) = INTAKE.ordering_keys(batch("day-begun", "in.clock", [{"day": "2026-09-30"}]), None)
    assert not keys.blocks
    assert not keys.waits_for


def _address(output: Output) -> tuple[str, bool]:
    return output.topic, output.broadcast
