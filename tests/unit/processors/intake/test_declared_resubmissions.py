"""Operator commands that resubmit an event of a declared entity: what intake makes of it is as if it arrived now."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.intake import IntakeProcessor
from processors.rejections import DIGEST_SEPARATOR
from schemas.submission_schemas import fields_of_resubmission, resubmission_in
from tests.unit.processors.submissions import (
    Row,
    batch,
    card_event,
    json_notice,
    key_ring,
    records_of,
    rejections,
)

INTAKE = IntakeProcessor(key_ring())
ORIGIN = {"topic": "in.card", "partition": 0, "offset": 41, "file": "c.jsonl", "line": 7}
SCHEMA = "submission-card"


def command(event: Row, **overrides: Any) -> Row:
    """Return the command that resubmits an event."""
    return {"command": "RESUBMIT", "origin": ORIGIN, **fields_of_resubmission(SCHEMA, event), **overrides}


def resubmit(*commands: Row) -> Any:
    """Return what intake does with operator commands."""
    return INTAKE.process([batch("operator-command", "in.operator", commands)])


def without_receipt(rows: list[Row]) -> list[Row]:
    """Return records without the time of receipt, which is the command's, and with the digest of their ID alone."""
    return [
        {**row, "received_at": None, "id": DIGEST_SEPARATOR in row.get("id", "") and row["id"][-40:]}
        for row in rows
    ]


TEXTS = st.none() | st.text(max_size=5) | st.sampled_from(["CardLost", "Cancelled", "Enrolled", "2026-03-04"])
EVENTS = st.dictionaries(
    st.sampled_from(["event", "number", "effective_on", "code", "cancels", "serial", "kind", "raw", "fault"]),
    TEXTS,
    max_size=3,
).map(lambda overrides: card_event(file="c.jsonl", line=7, **overrides))


@given(events=st.lists(EVENTS, min_size=1, max_size=5))
def test_a_resubmitted_event_gives_the_records_of_a_first_submission(events: list[Row]) -> None:
    """Through the command's list of values and back: changes, rejections and ordering keys are the same."""
    first = INTAKE.process([batch(SCHEMA, "in.card", events, first_offset=41)])
    commands = [
        command(event, origin=ORIGIN | {"offset": 41 + number}) for number, event in enumerate(events)
    ]
    again = resubmit(*commands)
    for topic in ("person.change", "rejected.card"):
        assert without_receipt(records_of(again, topic)) == without_receipt(records_of(first, topic))
    keys = INTAKE.ordering_keys(batch(SCHEMA, "in.card", events), None)
    of_commands = INTAKE.ordering_keys(batch("operator-command", "in.operator", commands), None)
    assert list(map(repr, keys)) == list(map(repr, of_commands))


def test_the_command_contains_the_submission() -> None:
    """Reading it back gives the same values as text, so it can be resubmitted once more."""
    event = card_event(file="c.jsonl", line=7)
    (row,) = batch("operator-command", "in.operator", [command(event)]).table.to_pylist()
    held = resubmission_in(row)
    assert held is not None
    schema, values = held
    assert schema == SCHEMA
    given_values = {name: value for name, value in values.items() if value is not None}
    assert given_values == event | {"line": "7"}
    assert resubmission_in(row | fields_of_resubmission(SCHEMA, values)) == held


def test_a_command_on_anything_else_contains_no_submission() -> None:
    """Nor does one with a schema that isn't generated, whose values could be anything."""
    of_notice = {"declared": {"schema": "juki-notice", "values": []}}
    rows: list[Row] = [{"command": "RETRY"}, {"command": "RESUBMIT", **of_notice}]
    commands = batch("operator-command", "in.operator", [{"origin": ORIGIN, **row} for row in rows])
    assert [resubmission_in(row) for row in commands.table.to_pylist()] == [None, None]
    assert not any(keys.blocks for keys in INTAKE.ordering_keys(commands, None))


VALUES = fields_of_resubmission(SCHEMA, card_event())["declared"]["values"]


@pytest.mark.parametrize(
    "invalid",
    [
        command(card_event(), origin=ORIGIN | {"topic": "in.pension"}),
        command(card_event(), origin=ORIGIN | {"topic": "in.card.131041"}),
        command(card_event(), origin=ORIGIN | {"topic": "nowhere"}),
        command(card_event(), command="RETRY"),
        command(card_event(), juki=json_notice()),
        command(card_event(), dead_letter={"step": "fan-out", "digest": "0" * 24}),
        command(card_event(), declared={"schema": "enrolment", "values": VALUES}),
        command(card_event(), declared={"schema": "submission-x", "values": VALUES}),
        command(card_event(), declared={"schema": SCHEMA, "values": [*VALUES, VALUES[0]]}),
        command(card_event(), declared={"schema": SCHEMA, "values": [{"name": "colour", "value": "red"}]}),
        {"command": "SETTLE", "origin": ORIGIN, **fields_of_resubmission(SCHEMA, card_event())},
    ],
)
def test_an_invalid_resubmission_is_rejected(invalid: Row) -> None:
    """Of another topic, of a schema that isn't generated, or with a field twice or unknown; beside a valid one."""
    result = resubmit(command(card_event()), invalid, command(card_event(number="c-3")))
    assert rejections(result) == [(None, "OPERATOR_COMMAND")]
    numbers = [row["event"]["number"] for row in records_of(result, "person.change")]
    assert numbers == ["c-1", "c-3"]


@pytest.mark.parametrize("line", ["", "x", "-1", "99999999999"])
def test_a_line_that_is_no_number_is_left_out(line: str) -> None:
    """The origin of the submission has none then."""
    event = card_event() | {"line": line}
    (change,) = records_of(resubmit(command(event)), "person.change")
    assert change["origin"]["line"] is None
