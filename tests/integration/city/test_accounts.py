"""Public-money accounts: who pays is told of the one in the person's name; others are conflicts for a clerk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.store_contents import holdings
from infra.verification.reference import compare, expected
from schemas.topics import AUDITOR
from tests.integration.cluster import IntegrationCluster, Row

CODE = "42990000011"
KANA = "シケン　イチロウ"
PAYING = ("local_tax", "child", "pension")
NOTICE: dict[str, Any] = {
    "notice": "13113-990000001",
    "municipality": "131130",
    "reason": "初期登録",
    "effective_on": "2026-02-01",
    "recorded_on": "2026-02-01",
    "persons": [
        {
            "code": CODE,
            "local_number": "1311390000001",
            "name": "試験　一郎",
            "kana": KANA,
            "birth_date": "1980-05-05",
            "sex": "男",
            "relationship": "世帯主",
            "household": "131139000001",
            "address": "東京都渋谷区道玄坂1丁目1番1号",
            "protected": False,
        }
    ],
}
ENROLMENTS = (
    "業務,市区町村コード,住民票コード,開始日\r\n"
    f"child,131130,{CODE},2026-02-02\r\n"
    f"pension,,{CODE},2026-02-02\r\n"
)


def test_account_reaches_who_pays_and_others_are_conflicts(place: IntegrationCluster, tmp_path: Path) -> None:
    """Registered, a second and another's name, changed, closed: each is seen where it must be, and nothing is lost."""
    place.begin_anew()
    files = resident(place, tmp_path)
    tell(place, files, event("A1", "REGISTERED", "2026-02-10", number="1111111"))
    assert_told(place, "1111111", "active")
    assert place.conflicts() == []

    second = event("B1", "REGISTERED", "2026-02-11", number="2222222")
    other = event("C1", "REGISTERED", "2026-02-12", number="3333333", holder_kana="ベツジン　ハナコ")
    tell(place, files, second, other)
    kinds = sorted(row["kind"] for row in place.conflicts())
    assert kinds == ["ACCOUNT_OTHER_NAME", "ACCOUNT_SECOND"]
    assert_told(place, "1111111", "active")

    tell(place, files, event("A1", "CHANGED", "2026-02-20", number="4444444"))
    assert_told(place, "4444444", "active")
    tell(place, files, event("A1", "CLOSED", "2026-02-25", number="4444444"))
    assert {row["status"] for row in told(place)} == {"closed"}
    assert place.refusals() == []
    assert place.dead_letters() == []
    assert place.handed_over()["in.portal"] == 5


def resident(place: IntegrationCluster, folder: Path) -> list[Path]:
    """One person, resident and enrolled; the files that say so."""
    notices, enrolments = folder / "notices_131130.jsonl", folder / "enrolments.csv"
    notices.write_text(f"{json.dumps(NOTICE, ensure_ascii=False)}\n", "utf-8")
    enrolments.write_text(ENROLMENTS, "utf-8-sig", newline="")
    place.take_in(notices, enrolments)
    return [notices, enrolments]


def event(account: str, what: str, day: str, number: str, holder_kana: str = KANA) -> dict[str, str]:
    """An event of the portal's ledger."""
    return {
        "event": what, "account": account, "code": CODE, "holder_kana": holder_kana,
        "bank": "9900", "branch": "044", "type": "普通", "number": number, "effective_on": day,
    }  # fmt: skip


def tell(place: IntegrationCluster, files: list[Path], *events: dict[str, str]) -> None:
    """Hand events over in a file more; once they are everywhere, the stores hold what the reference model says."""
    files.append(files[0].with_name(f"events_portal_{len(files)}.jsonl"))
    lines = [json.dumps({"account": each}, ensure_ascii=False) for each in events]
    files[-1].write_text("\n".join(lines) + "\n", "utf-8")
    place.take_in(files[-1])
    place.settle()
    assert compare(expected(files), holdings(place.environment.dsn(AUDITOR))) == []


def told(place: IntegrationCluster) -> list[Row]:
    """The account rows of all who pay."""
    return [row for schema in PAYING for row in place.table(schema, "account")]


def assert_told(place: IntegrationCluster, number: str, status: str) -> None:
    """Each of who pays has this account alone, under its own code of the person."""
    for schema in PAYING:
        (person,), (account,) = place.table(schema, "person"), place.table(schema, "account")
        assert account["code"] == person["code"], schema
        assert (account["number"], account["status"]) == (number, status), schema
        assert account["holder_kana"] == KANA, schema
