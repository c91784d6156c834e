"""Attack: a notice, enrolment or account event of a distant year; everything real takes effect before it for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.apply.installation import ApplySettings
from infra.apply.plan import topic_config
from infra.verification.reference import expected
from processors.intake import IntakeProcessor
from schemas.topics import topics_of
from tests.unit.processors.submissions import (
    CSV_TOPIC,
    JSON_TOPIC,
    batch,
    card_event,
    csv_row,
    high_sealer,
    json_notice,
    key_ring,
    records_of,
    rejections,
)
from tests.unit.test_reference import HEADER
from tests.unit.test_reference import csv_row as reference_row

pytestmark = pytest.mark.unit

INTAKE = IntakeProcessor(key_ring(), high_sealer())
ORIGIN = {"topic": CSV_TOPIC, "partition": 0, "offset": 41}
CHILD = {"domain": "child", "municipality": "131041", "code": "42990000011"}
CLOSED = {"event": "CLOSED", "account": "a-1", "code": "42990000011"}


def at(text: str) -> int:
    """Return a time (ISO, UTC) in ms since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def codes(schema: str, topic: str, row: dict[str, Any], received: str) -> list[str]:
    """Return the code of the rejection of a submission that was received at this time (UTC), if it is rejected."""
    return [
        code
        for _, code in rejections(INTAKE.process([batch(schema, topic, [row], received_ms=at(received))]))
    ]


@pytest.mark.parametrize(
    ("recorded_on", "received", "expected_codes"),
    [
        ("2206-03-03", "2026-03-03T00:00:00", ["RECORDED_IN_FUTURE"]),
        # 14:59:59 UTC is the last second of the day in Japan.
        ("2026-03-04", "2026-03-02T14:59:59", ["RECORDED_IN_FUTURE"]),
        ("2026-03-04", "2026-03-02T15:00:00", []),
        ("2026-03-03", "2026-03-02T14:59:59", []),
        ("2026-03-03", "2031-01-01T00:00:00", []),
    ],
)
def test_a_notice_is_recorded_at_most_the_day_after_it_was_received(
    recorded_on: str, received: str, expected_codes: list[str]
) -> None:
    """In Japan's time, as CSV, as JSON and as a declared event; a notice may arrive any time later."""
    days = {"recorded_on": recorded_on, "effective_on": recorded_on}
    csv = {"rows": [csv_row(**days)]}
    assert codes("juki-cs-notice", CSV_TOPIC, csv, received) == expected_codes
    assert codes("juki-notice", JSON_TOPIC, json_notice(**days), received) == expected_codes
    declared = card_event(recorded_on=recorded_on)
    assert codes("submission-card", "in.card", declared, received) == expected_codes


def test_a_resubmission_is_received_when_the_operator_sends_it() -> None:
    """Rejected on the day of its first arrival, accepted when its day has come."""
    submission = {"rows": [csv_row(recorded_on="2026-03-10", effective_on="2026-03-10")]}
    command = {"command": "RESUBMIT", "origin": ORIGIN, "juki_cs": submission}
    first = batch("juki-cs-notice", CSV_TOPIC, [submission], received_ms=at("2026-03-03T00:00:00"))
    assert [code for _, code in rejections(INTAKE.process([first]))] == ["RECORDED_IN_FUTURE"]
    early, late = (
        INTAKE.process([batch("operator-command", "in.operator", [command], received_ms=at(received))])
        for received in ("2026-03-08T14:59:59", "2026-03-08T15:00:00")
    )
    assert [code for _, code in rejections(early)] == ["RECORDED_IN_FUTURE"]
    assert [row["notice"] for row in records_of(late, "notice")] == ["13104-900011"]


@pytest.mark.parametrize(
    ("day", "expected_codes"),
    [("2206-03-03", ["EFFECTIVE_IN_FUTURE"]), ("2026-05-03", ["EFFECTIVE_IN_FUTURE"]), ("2026-05-02", [])],
)
def test_an_enrolment_an_account_event_or_a_declared_event_lies_at_most_60_days_ahead(
    day: str, expected_codes: list[str]
) -> None:
    """Of the day on which it was received, here 3 March in Japan."""
    received = "2026-03-02T15:00:00"
    enrolment, account = CHILD | {"since": day}, {"account": CLOSED | {"effective_on": day}}
    assert codes("enrolment", "in.child.131041", enrolment, received) == expected_codes
    assert codes("portal-event", "in.portal", account, received) == expected_codes
    declared = [card_event(effective_on=day, recorded_on="2026-03-03")]
    declared.append({"event": "Enrolled", "code": "42990000011", "effective_on": day})
    for event in declared:
        assert codes("submission-card", "in.card", event, received) == expected_codes


def test_the_brokers_set_the_time_of_receipt() -> None:
    """On every input topic, so no submitter can choose it."""
    inputs = [topic for topic in topics_of(["131041"]) if topic.name.startswith("in.")]
    assert inputs
    types = {topic_config(topic, ApplySettings())["message.timestamp.type"] for topic in inputs}
    assert types == {"LogAppendTime"}


def test_the_reference_model_rejects_them_too(tmp_path: Path) -> None:
    """Given the day of receipt; without it, no day is too far ahead."""
    notices = tmp_path / "juki_131041.csv"
    rows = [
        reference_row("13104-1", "初期登録", "2026-03-03"),
        reference_row("13104-2", "転居", "2206-03-03"),
        reference_row("13104-3", "転居", "2026-03-04", address="乙"),
    ]
    notices.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    enrolments = tmp_path / "enrolments.csv"
    columns = "業務,市区町村コード,住民票コード,開始日"
    lines = [f"pension,,42990000011,{day}" for day in ("2026-05-02", "2026-05-03")]
    enrolments.write_text("\n".join([columns, *lines, ""]), encoding="utf-8")
    outcome = expected([notices, enrolments], received_on="2026-03-03")
    assert [(rejection.line, rejection.reason) for rejection in outcome.rejections] == [
        (3, "effective-in-future"),
        (3, "recorded-in-future"),
    ]
    assert {row["address"] for row in outcome.rows} == {"乙"}
    assert not expected([notices, enrolments]).rejections
