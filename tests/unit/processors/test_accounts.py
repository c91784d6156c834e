"""The ledger of accounts compared with the reference model, which has its rules but none of its code."""

from __future__ import annotations

import json
import random
import tempfile
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.events.source import EventsSource
from infra.verification.reference import compare, expected
from processors.intake import IntakeProcessor
from tests.unit.processors.intake_output import accounts_of, enrolments_of, notices_of
from tests.unit.processors.submissions import batch, key_ring, records_of
from tests.unit.processors.test_synthetic import actual, conflicts, without_roman
from tests.unit.processors.two_steps import TwoSteps, process_shuffled
from tests.unit.test_reference_accounts import FAULTY_LINES, event, without_details

A, B = "131041", "141097"
CODE, STRANGER = "42990000011", "42990000012"
FIRST, MARRIED = "シケン　ハナコ", "サトウ　ハナコ"
DAYS = [(date(2026, 3, 1) + timedelta(days=day)).isoformat() for day in range(9)]

#: A resident from the third day, renamed on the fourth, moved out on the sixth, in on the seventh, dead on the ninth.
PERSON = {
    "code": CODE, "local_number": "0000000000001", "name": "試験　花子", "kana": FIRST, "sex": "女",
    "birth_date": "1980-05-05", "relationship": "世帯主", "household": "000000000007", "address": "甲",
    "protected": False,
}  # fmt: skip
REGISTERS = {
    A: [
        {"reason": "初期登録", "effective_on": DAYS[2], "persons": [PERSON]},
        {"reason": "氏名変更", "effective_on": DAYS[3], "persons": [{"code": CODE, "kana": MARRIED}]},
        {"reason": "転出", "effective_on": DAYS[5], "persons": [{"code": CODE}], "moved_to": B},
    ],
    B: [
        {
            "reason": "転入", "effective_on": DAYS[6], "moved_from": A,
            "persons": [{**PERSON, "kana": MARRIED, "address": "乙"}],
        },
        {"reason": "死亡", "effective_on": DAYS[8], "persons": [{"code": CODE}]},
    ],
}  # fmt: skip
ENROLMENTS = (
    f"child,{A},{CODE},{DAYS[2]}",
    f"child,{B},{CODE},{DAYS[7]}",
    f"pension,,{CODE},{DAYS[4]}",
    f"pension,,{CODE},{DAYS[7]}",
    f"portal,,{CODE},{DAYS[2]}",
)


def account_event(event_type: str, account: str, day: str, holder: str | None, number: str) -> dict[str, str]:
    """Return an account event, by default in the person's name of its day."""
    current_name = FIRST if day < DAYS[3] else MARRIED
    return {
        "event": event_type, "account": account, "code": CODE if account != "of-another" else STRANGER,
        "holder_kana": holder or current_name, "bank": "0001", "branch": "001", "type": "普通", "number": number,
        "effective_on": day,
    }  # fmt: skip


_holders = st.sampled_from([None, None, None, None, FIRST, FIRST.replace("　", " ")])
_events = st.builds(
    account_event,
    st.sampled_from(["REGISTERED", "CHANGED", "CLOSED"]),
    st.sampled_from(["one", "one", "one", "two", "two", "of-another"]),
    st.sampled_from(DAYS),
    _holders,
    st.sampled_from(["1111111", "2222222"]),
)


def write_files(folder: Path, events: list[dict[str, str]], notices_at_b: int) -> list[Path]:
    """Write the person's notices (at the second municipality only some), enrolments and account events as files."""
    files = [folder / f"notices_{municipality}.jsonl" for municipality in REGISTERS]
    for file, (municipality, notices) in zip(
        files, ((A, REGISTERS[A]), (B, REGISTERS[B][:notices_at_b])), strict=True
    ):
        lines = [
            {
                "notice": f"{municipality[:5]}-{index}",
                "municipality": municipality,
                "recorded_on": notice["effective_on"],
                **notice,
            }
            for index, notice in enumerate(notices)
        ]
        file.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), "utf-8")
    enrolments, portal = folder / "enrolments.csv", folder / "events_portal.jsonl"
    header = "業務,市区町村コード,住民票コード,開始日"
    enrolments.write_text("\r\n".join([header, *ENROLMENTS, ""]), "utf-8-sig", newline="")
    portal.write_text("".join(f"{json.dumps({'account': it})}\n" for it in events), "utf-8")
    return [*files, enrolments, portal]


def test_the_reference_model_rejects_the_same_lines(tmp_path: Path) -> None:
    """Source and intake reject a line of an account file exactly if the reference model does."""
    path = tmp_path / "events_portal.jsonl"
    valid = [event("REGISTERED", "one", "05"), without_details(event("CLOSED", "one", "06"))]
    path.write_text("\n".join([*valid, *(line for line, _ in FAULTY_LINES)]), "utf-8")
    source = EventsSource("portal", path)
    source.open()
    submissions = [
        row
        for batches in iter(source.poll, [])
        for submitted in batches
        for row in submitted.table.to_pylist()
    ]
    result = IntakeProcessor(key_ring()).process([batch("portal-event", "in.portal", submissions)])
    assert len(records_of(result, "person.change")) == len(valid)
    rejected_lines = [row["origin"]["line"] for row in records_of(result, "rejected.portal")]
    assert rejected_lines == [rejection.line for rejection in expected([path]).rejections]


@pytest.mark.property
@given(
    events=st.lists(_events, min_size=2, max_size=6),
    notices_at_b=st.sampled_from([0, 1, 1, 1, 2]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=200)
def test_any_account_events_agree_with_the_reference_model(
    events: list[dict[str, str]], notices_at_b: int, seed: int
) -> None:
    """Events take effect before, between and after the person's notices, and arrive in any order."""
    with tempfile.TemporaryDirectory() as name:
        *registers, enrolments, portal = files = write_files(Path(name), events, notices_at_b)
        outcome = without_roman(expected(files))
        by_file = {path.name: notices_of(path) for path in registers}
        others = [*enrolments_of(enrolments), *accounts_of(portal)]
    assert not outcome.rejections
    steps = TwoSteps()
    process_shuffled(steps, by_file, others, random.Random(seed))  # noqa: S311 - repeatable on purpose
    assert compare(outcome, actual(steps)) == []
    assert conflicts(steps) == (outcome.conflicts, outcome.account_conflicts)
