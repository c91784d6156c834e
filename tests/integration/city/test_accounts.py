"""Public-money accounts: paying domains receive the one in the person's name; any other is a conflict for a clerk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.store_contents import read_stores
from infra.verification.reference import compare, expected
from schemas.topics import AUDITOR
from tests.integration.cluster import IntegrationCluster, Row

CODE = "42990000011"
KANA = "シケン　イチロウ"
PAYING_SCHEMAS = ("local_tax", "child", "pension")
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


@pytest.mark.proof
def test_an_account_reaches_paying_domains_and_others_are_conflicts(
    cluster: IntegrationCluster, tmp_path: Path
) -> None:
    """Register an account, a second one and one in another name; change and close the first."""
    cluster.start_empty()
    files = ingest_resident(cluster, tmp_path)
    submit(cluster, files, event("A1", "REGISTERED", "2026-02-10", number="1111111"))
    assert_account(cluster, "1111111", "active")
    assert cluster.conflicts() == []

    second = event("B1", "REGISTERED", "2026-02-11", number="2222222")
    other_name = event("C1", "REGISTERED", "2026-02-12", number="3333333", holder_kana="ベツジン　ハナコ")
    submit(cluster, files, second, other_name)
    kinds = sorted(row["kind"] for row in cluster.conflicts())
    assert kinds == ["ACCOUNT_OTHER_NAME", "ACCOUNT_SECOND"]
    assert_account(cluster, "1111111", "active")

    submit(cluster, files, event("A1", "CHANGED", "2026-02-20", number="4444444"))
    assert_account(cluster, "4444444", "active")
    submit(cluster, files, event("A1", "CLOSED", "2026-02-25", number="4444444"))
    assert {row["status"] for row in account_rows(cluster)} == {"closed"}
    assert cluster.rejections() == []
    assert cluster.dead_letters() == []
    assert cluster.submissions_by_topic()["in.portal"] == 5


def ingest_resident(cluster: IntegrationCluster, folder: Path) -> list[Path]:
    """Ingest one person, resident and enrolled; return the files."""
    notices, enrolments = folder / "notices_131130.jsonl", folder / "enrolments.csv"
    notices.write_text(f"{json.dumps(NOTICE, ensure_ascii=False)}\n", "utf-8")
    enrolments.write_text(ENROLMENTS, "utf-8-sig", newline="")
    cluster.ingest(notices, enrolments)
    return [notices, enrolments]


def event(account: str, kind: str, day: str, number: str, holder_kana: str = KANA) -> dict[str, str]:
    """Return an event of the portal's account ledger."""
    return {
        "event": kind, "account": account, "code": CODE, "holder_kana": holder_kana,
        "bank": "9900", "branch": "044", "type": "普通", "number": number, "effective_on": day,
    }  # fmt: skip


def submit(cluster: IntegrationCluster, files: list[Path], *events: dict[str, str]) -> None:
    """Ingest events in another file; check that the stores then equal the reference model."""
    files.append(files[0].with_name(f"events_portal_{len(files)}.jsonl"))
    lines = [json.dumps({"account": row}, ensure_ascii=False) for row in events]
    files[-1].write_text("\n".join(lines) + "\n", "utf-8")
    cluster.ingest(files[-1])
    cluster.wait_idle()
    assert compare(expected(files), read_stores(cluster.environment.dsn(AUDITOR))) == []


def account_rows(cluster: IntegrationCluster) -> list[Row]:
    """Return the account rows of all paying domains."""
    return [row for schema in PAYING_SCHEMAS for row in cluster.table(schema, "account")]


def assert_account(cluster: IntegrationCluster, number: str, status: str) -> None:
    """Check that each paying domain has only this account, under its own code of the person."""
    for schema in PAYING_SCHEMAS:
        (person,), (account,) = cluster.table(schema, "person"), cluster.table(schema, "account")
        assert account["code"] == person["code"], schema
        assert (account["number"], account["status"]) == (number, status), schema
        assert account["holder_kana"] == KANA, schema
