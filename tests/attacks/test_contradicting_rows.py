"""Attack: rows of one notice that contradict each other, hidden behind a submission without rows in the same batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.intake import IntakeProcessor
from schemas.submission_schemas import fields_of_resubmission
from streams.contract import Batch
from tests.unit.processors.submissions import (
    batch,
    card_event,
    csv_notices,
    csv_row,
    json_notice,
    json_person,
    key_ring,
    rejections,
)

pytestmark = pytest.mark.unit

INTAKE = IntakeProcessor(key_ring())
CONTRADICTION = [csv_row(), csv_row(code="42990000022", effective_on="2026-03-04")]


def test_two_rows_that_contradict_each_other_are_rejected_beside_a_submission_without_rows() -> None:
    """Two submissions with two rows in all: that isn't one row each."""
    result = INTAKE.process([csv_notices(CONTRADICTION, [])])
    assert rejections(result) == [("13104-900011", "ROWS_DIFFER"), (None, "COLUMNS")]


CSV_OVERRIDES: list[dict[str, Any]] = [
    {},
    {"code": "42990000022"},
    {"effective_on": "2026-03-04"},
    {"notice": "n-1"},
    {"reason": "氏名変更"},
    {"reason": "転入", "moved_from": "141097"},
    {"reason": "取消", "cancels": "13104-1"},
    {"recorded_on": "2026-02-30"},
    {"recorded_on": "2206-03-03", "effective_on": "2206-03-03"},
    {"name": "試\x1f験"},
    {"kana": None},
    {"municipality": "012033"},
    {"fault": "columns", "raw": "eA==", "name": None},
    {"sex": ""},
]
JSON_OVERRIDES: list[dict[str, Any]] = [
    {},
    {"notice": None},
    {"persons": []},
    {"persons": [json_person(), json_person()]},
    {"persons": [json_person(sex=None), json_person(code="42990000022")]},
    {"persons": None, "household": "131049000001", "reason": "転居", "to": {"address": "甲"}},
    {"persons": None, "household": "131049000001", "reason": "転居", "to": {"address": ""}},
    {"reason": "転出", "moved_to": "141097", "persons": [json_person(name=None, kana=None)]},
    {"effective_on": "2026-05-30"},
    {"file": "x" * 256},
    {"fault": "json", "raw": "eA==", "persons": None},
]
ENROLMENTS: list[dict[str, Any]] = [
    {"domain": "child", "municipality": "131041", "code": "42990000011", "since": since}
    for since in ("2026-03-01", "2026-02-29", "2206-01-01", None)
] + [{"domain": "care", "code": None}, {"fault": "encoding", "raw": "eA=="}]
PORTAL_EVENTS: list[dict[str, Any]] = [
    {"line": 1},
    {"enrolment": {"domain": "portal", "code": "42990000011", "since": "2026-03-01"}},
    {"enrolment": {"domain": "portal", "municipality": "131041", "code": "1", "since": "2026-03-01"}},
    {"account": {"event": "CLOSED", "account": "a", "code": "42990000011", "effective_on": "2026-03-01"}},
    {"account": {"event": "CHANGED", "account": "a", "code": "42990000011", "effective_on": "2026-03-01"}},
]
CARD_EVENTS: list[dict[str, Any]] = [
    card_event(),
    card_event(event="CardLost", kind=None, expires_on=""),
    card_event(event="CardLost"),
    card_event(number=None),
    card_event(expires_on="2026-02-30"),
    card_event(municipality="131041"),
    {"event": "Enrolled", "code": "42990000011", "effective_on": "2026-03-01"},
    card_event(event="Cancelled", cancels="c-0", serial=None, kind=None, expires_on=None),
    {"fault": "form", "raw": "eA==", "number": "c-2"},
]


def _origin(topic: str) -> dict[str, Any]:
    return {"topic": topic, "partition": 0, "offset": 5}


CSV_ROW = st.sampled_from(CSV_OVERRIDES).map(lambda overrides: csv_row(**overrides))
CSV = st.lists(CSV_ROW, max_size=3).map(lambda rows: {"file": "f.csv", "line": 2, "rows": rows})
JSON = st.sampled_from(JSON_OVERRIDES).map(lambda overrides: json_notice(**overrides))
COMMAND = st.one_of(
    st.builds(lambda one: {"origin": _origin("in.juki-cs.131041"), "juki_cs": one}, CSV),
    st.builds(lambda one: {"origin": _origin("in.juki.131041"), "juki": one}, JSON),
    st.sampled_from(ENROLMENTS).map(lambda one: {"origin": _origin("in.child.131041"), "enrolment": one}),
    st.sampled_from(CARD_EVENTS).map(
        lambda one: {"origin": _origin("in.card"), **fields_of_resubmission("submission-card", one)}
    ),
).map(lambda command: {"command": "RESUBMIT"} | command) | st.just(
    {"command": "RETRY", "origin": _origin("x")}
)
KINDS: list[tuple[str, str, st.SearchStrategy[Mapping[str, Any]]]] = [
    ("juki-cs-notice", "in.juki-cs.131041", CSV),
    ("juki-notice", "in.juki.131041", JSON),
    ("enrolment", "in.child.131041", st.sampled_from(ENROLMENTS)),
    ("portal-event", "in.portal", st.sampled_from(PORTAL_EVENTS)),
    ("submission-card", "in.card", st.sampled_from(CARD_EVENTS)),
    ("operator-command", "in.operator", COMMAND),
]


def outcomes(batches: Sequence[Batch]) -> dict[int, list[tuple[str, Any, Any]]]:
    """Return by offset of a submission: topic, key and content of each record that follows from it."""
    found: dict[int, list[tuple[str, Any, Any]]] = {}
    for each in batches:
        result = INTAKE.process([each])
        assert not result.poison
        for output in result.outputs:
            for key, row in zip(output.key.to_pylist(), output.table.to_pylist(), strict=True):
                # The time of receipt of a resubmission tells its command: the origin is that of the submission.
                offset = int(row["received_at"].timestamp() * 1_000) % 1_000
                found.setdefault(offset, []).append((output.topic, key, row))
    return found


#: Of each submission drawn before, by schema, offset and content: few are different, and intake is a pure function.
ALONE: dict[tuple[str, int, str], dict[int, list[tuple[str, Any, Any]]]] = {}


def outcomes_alone(whole: Batch, rows: Sequence[Mapping[str, Any]]) -> dict[int, list[tuple[str, Any, Any]]]:
    """Return the outcomes of the submissions of a batch, each in a batch of its own."""
    found: dict[int, list[tuple[str, Any, Any]]] = {}
    for offset, row in enumerate(rows):
        key = whole.schema, offset, repr(row)
        if key not in ALONE:
            ALONE[key] = outcomes([_rows(whole, [offset])])
        found |= ALONE[key]
    return found


@pytest.mark.parametrize(("schema", "topic", "submission"), KINDS, ids=[kind[0] for kind in KINDS])
@settings(max_examples=60)
@given(data=st.data())
def test_a_submission_is_judged_by_itself(
    schema: str, topic: str, submission: st.SearchStrategy[Mapping[str, Any]], data: st.DataObject
) -> None:
    """Cut into batches at random and beside shuffled neighbours, each submission gets the same outcome."""
    rows = data.draw(st.lists(submission, min_size=1, max_size=10))
    whole = batch(schema, topic, rows)
    alone = outcomes_alone(whole, rows)
    order = data.draw(st.permutations(range(len(rows))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)))))
    batches = [
        _rows(whole, list(order[start:stop]))
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True)
    ]
    assert outcomes(batches) == alone
    assert set(alone) == set(range(len(rows)))


def _rows(whole: Batch, rows: list[int]) -> Batch:
    indices = pa.array(rows, pa.int64())
    return Batch(whole.schema, whole.table.take(indices), whole.meta.take(indices))
