"""Attack: one event with a file name of 3.5 MB, which household copies into the change of each person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from processors.codes import KeyRing
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor, submission_limits
from processors.intake.submission_limits import CHARACTERS_MAX, PERSONS_MAX
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.declare import CANCELLED
from schemas.ids import LocalSchemaIds
from schemas.reasons import Reason
from schemas.submission_schemas import OPERATOR_COMMAND, SUBMISSION_FIELDS
from schemas.systems import CLOCK, DIGEST_PURPOSES, SYSTEMS, System
from schemas.topics import input_topic
from streams.contract import Output
from streams.settings import PipelineSettings
from tests.unit.processors.submissions import (
    CSV_TOPIC,
    batch,
    card_event,
    csv_row,
    high_sealer,
    json_notice,
    json_notices,
    json_person,
    key_ring,
    records_of,
    rejections,
)
from tests.unit.processors.two_steps import batch_of, empty_state

pytestmark = pytest.mark.unit

KEYS: KeyRing = key_ring()
INTAKE = IntakeProcessor(KEYS, high_sealer())
LONG = "x" * 3_500_000
#: Bytes that the encoded rejection of any submission may have.
REJECTION_BYTES_MAX = 2_000


def encoded(output: Output) -> list[bytes]:
    """Return the records of an output as a step publishes them."""
    codec = Codec(catalogue(), LocalSchemaIds(catalogue()))
    values: list[bytes] = codec.encode(output.schema, output.table).to_pylist()
    return values


@pytest.mark.parametrize(
    ("schema", "topic", "submission", "number"),
    [
        ("juki-notice", "in.juki.131041", json_notice(file=LONG), "13104-900011"),
        ("juki-cs-notice", CSV_TOPIC, {"file": LONG, "rows": [csv_row()]}, "13104-900011"),
        ("juki-cs-notice", CSV_TOPIC, {"encoding": LONG, "rows": [csv_row()]}, "13104-900011"),
        ("juki-cs-notice", CSV_TOPIC, {"rows": [csv_row(raw=LONG)]}, "13104-900011"),
        (
            "enrolment",
            "in.pension",
            {"file": LONG, "domain": "pension", "code": "42990000011", "since": "2026-03-01"},
            None,
        ),
        (
            "portal-event",
            "in.portal",
            {"raw": LONG, "enrolment": {"domain": "portal", "code": "42990000011", "since": "2026-03-01"}},
            None,
        ),
        ("submission-card", "in.card", card_event(file=LONG), "c-1"),
    ],
)
def test_a_submission_with_a_long_text_is_rejected_with_a_small_record(
    schema: str, topic: str, submission: dict[str, Any], number: str | None
) -> None:
    """It is listed by its number; its position points to the record, which stays in the input topic."""
    result = INTAKE.process([batch(schema, topic, [submission], first_offset=7)])
    assert rejections(result) == [(number, "TEXT_LONG")]
    (output,) = result.outputs
    (row,) = output.table.to_pylist()
    assert (row["origin"]["topic"], row["origin"]["offset"]) == (topic, 7)
    assert len(encoded(output)[0]) < REJECTION_BYTES_MAX


def _texts(fields: Any, prefix: str = "") -> Iterator[str]:
    for field in fields:
        path, type_ = f"{prefix}{field.name}", field.type
        while pa.types.is_list(type_):
            path, type_ = f"{path}[]", type_.value_type
        if pa.types.is_struct(type_):
            yield from _texts(list(type_), f"{path}.")
        elif pa.types.is_string(type_):
            yield path


def _set(row: dict[str, Any], path: str, value: str) -> None:
    name, _, rest = path.partition(".")
    if name.endswith("[]"):
        items = row[name.removesuffix("[]")]
        if rest:
            _set(items[0], rest, value)
        else:
            items[:] = [value]
    elif rest:
        _set(row[name], rest, value)
    else:
        row[name] = value


def cancellation(system: System) -> tuple[str, dict[str, Any]]:
    """Return the input topic of a system with entities, and a submission that takes an event back."""
    municipality = "131041" if system.municipal else None
    days = {"effective_on": "2026-03-01", "recorded_on": "2026-03-01"}
    row: dict[str, Any] = {
        "event": CANCELLED,
        "number": "c-2",
        "cancels": "c-1",
        "code": "42990000011",
        **days,
    }
    if system.submits_members:
        row["members"] = ["42990000022"]
    return input_topic(system.id, municipality), row | {"municipality": municipality}


def valid(schema: str) -> tuple[str, dict[str, Any]]:
    """Return an input topic and a submission of a schema in which every record and list has something in it."""
    enrolment = {"domain": "pension", "code": "42990000011", "since": "2026-03-01"}
    origin = {"topic": "in.pension", "partition": 0, "offset": 1, "file": "f", "line": 1}
    dead_letter = {"step": "intake", "digest": "", "digests": ["0" * 24]}
    settlement = {
        "person": "p",
        "municipality": "131041",
        "notice": "1",
        "registered_in": "131041",
        "reason": "r",
    }
    of_systems = {
        system.publishes: cancellation(system)
        for system in SYSTEMS.values()
        if system.owns and system.publishes
    }
    others = {
        "juki-cs-notice": (CSV_TOPIC, {"file": "f", "rows": [csv_row()]}),
        "juki-notice": ("in.juki.131041", json_notice(to={})),
        "enrolment": ("in.pension", enrolment),
        "submission-card": ("in.card", card_event()),
        "portal-event": ("in.portal", {"enrolment": dict(enrolment, domain="portal"), "account": {}}),
        "day-begun": (input_topic(CLOCK), {"day": "2026-09-01"}),
        OPERATOR_COMMAND: (
            "in.operator",
            {"command": "RETRY", "origin": origin, "dead_letter": dead_letter, "settlement": settlement},
        ),
    }
    return (of_systems | others)[schema]


def paths() -> list[tuple[str, str]]:
    """Return schema and path of every field of text of a submission; those inside a command once."""
    return [
        (schema, path)
        for schema in DIGEST_PURPOSES
        for path in _texts(catalogue().arrow_schema(schema))
        if path.partition(".")[0] not in SUBMISSION_FIELDS
    ]


@pytest.mark.parametrize(("schema", "path"), paths())
def test_every_text_of_every_submission_has_a_limit(schema: str, path: str) -> None:
    """A text within its limit is not too long; with one more character the submission is rejected, whatever else."""
    limit = CHARACTERS_MAX[path.removesuffix("[]").rpartition(".")[2].removesuffix("[]")]
    for length, fits in ((limit, True), (limit + 1, False)):
        topic, row = valid(schema)
        _set(row, path, "あ" * length)
        one = batch(schema, topic, [row])
        assert submission_limits.texts_fit(one.table).to_pylist() == [fits]
        assert fits or len(rejections(INTAKE.process([one]))) == 1


def test_the_largest_notice_gives_records_that_a_step_may_publish() -> None:
    """A thousand persons with texts of full length, of characters of four bytes: in intake, and in household."""
    person = json_person(
        name="𠮷" * CHARACTERS_MAX["name"],
        kana="ア" * 50 + "　" + "ア" * 49,
        relationship="𠮷" * CHARACTERS_MAX["relationship"],
        address="𠮷" * CHARACTERS_MAX["address"],
    )
    persons = [person | {"code": f"{number:011}"} for number in range(PERSONS_MAX)]
    notice = json_notice(persons=persons, file="𠮷" * CHARACTERS_MAX["file"], notice="n" * 32)
    too_large = json_notice(persons=[*persons, person])
    result = INTAKE.process([json_notices(notice, too_large)])
    assert rejections(result) == [("13104-900011", "PERSONS_MANY")]
    record_bytes_max = PipelineSettings().record_bytes_max
    accepted = records_of(result, "notice")
    assert max(len(value) for output in result.outputs for value in encoded(output)) <= record_bytes_max
    household = HouseholdProcessor()
    changes = household.process(batch_of("notice", accepted), empty_state(household))
    sizes = [len(value) for output in changes.outputs for value in encoded(output)]
    assert len(records_of(changes, "person.change")) == PERSONS_MAX
    assert sum(sizes) <= record_bytes_max


def test_a_household_of_more_than_a_thousand_can_be_neither_made_nor_moved() -> None:
    """Otherwise one small notice about it would have any number of changes."""
    household = HouseholdProcessor()
    state = empty_state(household)

    def submit(number: int, count: int, first: int = 0) -> list[tuple[str | None, str]]:
        persons = [json_person(code=f"{first + index:011}") for index in range(count)]
        submission = json_notice(notice=f"n-{number}", persons=persons)
        rows = records_of(INTAKE.process([json_notices(submission)]), "notice")
        return rejections(household.process(batch_of("notice", rows), state))

    assert submit(1, PERSONS_MAX) == []
    assert submit(2, 1, first=PERSONS_MAX) == [("n-2", "HOUSEHOLD_LARGE")]
    # A person of the household may be entered again: it doesn't grow.
    assert submit(3, 1) == []
    moved = json_notice(
        notice="n-4",
        reason=Reason.MOVED_WITHIN.japanese,
        persons=None,
        household="131049000001",
        to={"address": "乙"},
    )
    rows = records_of(INTAKE.process([json_notices(moved)]), "notice")
    result = household.process(batch_of("notice", rows), state)
    assert len(records_of(result, "person.change")) == PERSONS_MAX
