"""The reference model as of a day: notices ahead of their day, in cases worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import Expected, expected

pytestmark = pytest.mark.unit
HERE = "131130"
FACTS = {
    "local_number": "0000000000001",
    "name": "山田　花子",
    "kana": "ヤマダ　ハナコ",
    "birth_date": "1990-01-01",
    "sex": "女",
    "relationship": "世帯主",
    "household": "000000000001",
    "address": "一丁目",
    "protected": False,
}


def as_of(today: str, folder: Path, *notices: dict[str, Any]) -> Expected:
    """Return what the stores have on a day of a resident who is enrolled in the portal, after these notices."""
    first = {
        "reason": "初期登録",
        "effective_on": "2026-01-01",
        "persons": [{"code": "10000000001", **FACTS}],
    }
    lines = [
        {
            "notice": f"13113-{number}",
            "municipality": HERE,
            "recorded_on": "2026-09-01",
            "persons": [{"code": "10000000001"}],
            **fields,
        }
        for number, fields in enumerate([first, *notices])
    ]
    register, enrolments = folder / f"notices_{HERE}.jsonl", folder / "enrolments.csv"
    register.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
    rows = [
        "業務,市区町村コード,住民票コード,開始日",
        "portal,,10000000001,2026-01-01",
        "nta,,10000000001,2026-09-10",
    ]
    enrolments.write_text("".join(f"{row}\r\n" for row in rows), encoding="utf-8-sig", newline="")
    outcome = expected([register, enrolments], received_on="2026-09-01", today=today)
    assert outcome.rejections == []
    return outcome


def rows(outcome: Expected) -> dict[str, tuple[str, str | None]]:
    """Return status and address of the row of each domain."""
    return {row["domain"]: (row["status"], row["address"]) for row in outcome.rows}


MOVED_OUT = {"reason": "転出", "effective_on": "2026-09-20", "moved_to": "131041"}


def test_rows_change_on_the_day_and_messages_do_not_wait(tmp_path: Path) -> None:
    """An enrolment waits for its day too."""
    before = as_of("2026-09-09", tmp_path, MOVED_OUT)
    assert rows(before) == {"local-tax": ("active", "一丁目")}
    assert before.portal == [[["転出", "2026-09-20"]]]
    assert rows(as_of("2026-09-19", tmp_path, MOVED_OUT)) == {
        "local-tax": ("active", "一丁目"),
        "nta": ("active", "一丁目"),
    }
    after = as_of("2026-09-20", tmp_path, MOVED_OUT)
    assert rows(after) == {"local-tax": ("closed", None), "nta": ("active", "一丁目")}
    assert after.portal == before.portal


def test_a_measure_begins_at_once(tmp_path: Path) -> None:
    """The row has the day of the notice; an end of before that day doesn't show the address."""
    begun = {"reason": "支援措置開始", "effective_on": "2026-09-20"}
    ended = {"reason": "支援措置終了", "effective_on": "2026-09-05"}
    for today in ("2026-09-01", "2026-09-05", "2026-09-20", "2026-12-31"):
        outcome = as_of(today, tmp_path, begun, ended)
        assert rows(outcome)["local-tax"] == ("active", None), today
        (of_row,) = [
            d for row, d in zip(outcome.rows, outcome.details, strict=True) if row["domain"] == "local-tax"
        ]
        assert of_row.effective_on == "2026-09-20"


@pytest.mark.parametrize(("died_on", "stays"), [("2026-08-31", True), ("2026-09-20", False)])
def test_what_is_cancelled_before_its_day_never_was(tmp_path: Path, died_on: str, stays: bool) -> None:
    """A card that a death makes void stays void if the death was cancelled after its day, but not before it."""
    cards = tmp_path / "events_card.jsonl"
    issued = {"event": "CardIssued", "number": "1", "code": "10000000001", "serial": "S", "kind": "standard"}
    issued |= {"expires_on": "2031-01-01", "effective_on": "2026-02-01", "recorded_on": "2026-02-01"}
    cards.write_text(json.dumps(issued))
    died = {"reason": "死亡", "effective_on": died_on}
    cancelled = {"reason": "取消", "effective_on": "2026-09-01", "cancels": "13113-1"}
    as_of("2026-09-30", tmp_path, died, cancelled)
    outcome = expected(
        [cards, tmp_path / f"notices_{HERE}.jsonl"], received_on="2026-09-01", today="2026-09-30"
    )
    (card,) = outcome.readings["card.card"]
    assert card["state"] == ("void" if stays else "active")
