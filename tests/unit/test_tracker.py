"""The tracker without a broker: encoded records in, cases and answers out."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from infra.tracker.app import CaseTable, news_by_case
from infra.tracker.settings import TrackerSettings
from infra.tracker.web import site
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows

CASE = {"municipality": "131041", "notice": "13104-1"}
LONG_AGO = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def codec() -> Codec:
    """A codec that asks no registry."""
    return Codec(catalogue(), LocalSchemaIds(catalogue()))


def _encoded(codec: Codec, schema: str, *rows: dict[str, Any]) -> list[bytes]:
    values: list[bytes] = codec.encode(schema, table_from_rows(schema, rows)).to_pylist()
    return values


def _records(codec: Codec) -> dict[str, list[bytes]]:
    opened = {
        "case": CASE,
        "reason": "MOVED_IN",
        "effective_on": date(2026, 4, 1),
        "persons": 1,
        "received_at": LONG_AGO,
    }
    parted = {"case": CASE, "person": "p", "changes": [{"domain": "child", "revision": 1}]}
    receipt = {
        "domain": "child",
        "person": "p",
        "case": CASE,
        "entity": "PERSON",
        "revision": 1,
        "applied_at": LONG_AGO,
    }
    return {
        "case.opened": _encoded(codec, "case-opened", opened),
        "case.dispatched": _encoded(codec, "case-dispatched", parted),
        "receipt": _encoded(codec, "receipt", receipt, {**receipt, "case": None}),
    }


def test_a_case_is_kept_encoded_and_completes_with_its_last_receipt(codec: Codec) -> None:
    """What is heard is in the table; a receipt without a case is nobody's."""
    records = _records(codec)
    receipts = {"receipt": records.pop("receipt")}
    kept: dict[bytes, bytes] = {}
    cases = CaseTable(codec, kept)
    cases.hear(news_by_case(codec, records))
    assert cases.all().to_pylist()[0]["pending"] == ["child/p/1"]
    cases.hear(news_by_case(codec, receipts))
    row = cases.row("131041/13104-1")
    assert len(kept) == 1
    assert row is not None
    assert (row["complete"], row["persons"], row["pending"]) == (True, [], [])


def test_the_site_shows_cases_to_who_has_the_token_and_names_nobody(codec: Codec) -> None:
    """Without the token nothing; with it the summary, the list and the case, overdue and without a person."""
    cases = CaseTable(codec, {})
    records = _records(codec)
    cases.hear(news_by_case(codec, {topic: records[topic] for topic in ("case.opened", "case.dispatched")}))
    answers = asyncio.run(_ask(cases, ["/summary", "/cases?status=overdue", "/cases/131041/13104-1"]))
    denied, (summary, listed, case) = answers
    assert denied == 401
    assert (summary["cases"], summary["overdue"], summary["changes"]) == (1, 1, 1)
    assert listed == [case]
    assert case["waiting_for"] == {"child": 1}
    assert "'p'" not in str(answers)


async def _ask(cases: CaseTable, paths: list[str]) -> tuple[int, list[Any]]:
    async with TestClient(TestServer(site(cases, TrackerSettings(), "secret"))) as client:
        denied = await client.get("/summary")
        headers = {"Authorization": "Bearer secret"}
        return denied.status, [await (await client.get(path, headers=headers)).json() for path in paths]
