"""The ledger of accounts held against the reference model, which has its rules and none of its code."""

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
from tests.unit.processors.mesh import Mesh, shuffled
from tests.unit.processors.submissions import batch, key_ring, rows_of
from tests.unit.processors.test_synthetic import actual, conflicts, without_roman
from tests.unit.test_reference_accounts import FAULTY, bare, event

A, B = "131041", "141097"
CODE, STRANGER = "42990000011", "42990000012"
FIRST, MARRIED = "シケン　ハナコ", "サトウ　ハナコ"
DAYS = [(date(2026, 3, 1) + timedelta(days=day)).isoformat() for day in range(9)]

#: Known from the third day, married on the fourth, on the way for a day, elsewhere from the seventh, dead on the ninth.
PERSON = {
    "code": CODE, "local_number": "0000000000001", "name": "試験　花子", "kana": FIRST, "sex": "女",
    "birth_date": "1980-05-05", "relationship": "世帯主", "household": "000000000007", "address": "甲",
    "protected": False,
}  # fmt: skip
LISTS = {
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


def filed(what: str, account: str, day: str, holder: str | None, number: str) -> dict[str, str]:
    """An event, by default in the name of its day."""
    own = FIRST if day < DAYS[3] else MARRIED
    return {
        "event": what, "account": account, "code": CODE if account != "of-another" else STRANGER,
        "holder_kana": holder or own, "bank": "0001", "branch": "001", "type": "普通", "number": number,
        "effective_on": day,
    }  # fmt: skip


_holders = st.sampled_from([None, None, None, None, FIRST, FIRST.replace("　", " ")])
_events = st.builds(
    filed,
    st.sampled_from(["REGISTERED", "CHANGED", "CLOSED"]),
    st.sampled_from(["one", "one", "one", "two", "two", "of-another"]),
    st.sampled_from(DAYS),
    _holders,
    st.sampled_from(["1111111", "2222222"]),
)


def written(folder: Path, events: list[dict[str, str]], there: int) -> list[Path]:
    """The person's way, so many notices of it elsewhere, and these events, as files."""
    files = [folder / f"notices_{at}.jsonl" for at in LISTS]
    for file, (at, listed) in zip(files, ((A, LISTS[A]), (B, LISTS[B][:there])), strict=True):
        lines = [
            {"notice": f"{at[:5]}-{place}", "municipality": at, "recorded_on": it["effective_on"], **it}
            for place, it in enumerate(listed)
        ]
        file.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), "utf-8")
    enrolments, portal = folder / "enrolments.csv", folder / "events_portal.jsonl"
    header = "業務,市区町村コード,住民票コード,開始日"
    enrolments.write_text("\r\n".join([header, *ENROLMENTS, ""]), "utf-8-sig", newline="")
    portal.write_text("".join(f"{json.dumps({'account': it})}\n" for it in events), "utf-8")
    return [*files, enrolments, portal]


def test_the_same_lines_are_refused(tmp_path: Path) -> None:
    """What the source carries and intake refuses is what the reference model refuses, and nothing else."""
    path = tmp_path / "events_portal.jsonl"
    good = [event("REGISTERED", "one", "05"), bare(event("CLOSED", "one", "06"))]
    path.write_text("\n".join([*good, *(line for line, _ in FAULTY)]), "utf-8")
    source = EventsSource("portal", path)
    source.open()
    filed = [row for polled in iter(source.poll, []) for each in polled for row in each.table.to_pylist()]
    result = IntakeProcessor(key_ring()).process([batch("portal-event", "in.portal", filed)])
    assert len(rows_of(result, "person.change")) == len(good)
    refused = [row["origin"]["line"] for row in rows_of(result, "rejected.portal")]
    assert refused == [it.line for it in expected([path]).refusals]


@pytest.mark.property
@given(
    events=st.lists(_events, min_size=2, max_size=6),
    there=st.sampled_from([0, 1, 1, 1, 2]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=200)
def test_whatever_is_filed_the_reference_model_comes_to_the_same(
    events: list[dict[str, str]], there: int, seed: int
) -> None:
    """Any events, on days before, between and after what happens to a person, in any order of arrival."""
    with tempfile.TemporaryDirectory() as name:
        *registers, enrolments, portal = files = written(Path(name), events, there)
        outcome = without_roman(expected(files))
        lists = {path.name: notices_of(path) for path in registers}
        others = [*enrolments_of(enrolments), *accounts_of(portal)]
    assert not outcome.refusals
    mesh = Mesh()
    shuffled(mesh, lists, others, random.Random(seed))  # noqa: S311 - repeatable on purpose
    assert compare(outcome, actual(mesh)) == []
    assert conflicts(mesh) == (outcome.conflicts, outcome.account_conflicts)
