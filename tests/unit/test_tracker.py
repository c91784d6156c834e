"""The tracker without a broker: encoded records give cases and HTTP answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from infra.run.settings import TrackerSettings
from infra.tracker.app import CaseTable, events_by_case
from infra.tracker.web import site
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows

CASE = {"municipality": "131041", "notice": "13104-1"}
LONG_AGO = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def codec() -> Codec:
    """Return a codec that needs no registry."""
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
    dispatched = {"case": CASE, "person": "p", "changes": [{"domain": "child", "revision": 1}]}
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
        "case.dispatched": _encoded(codec, "case-dispatched", dispatched),
        "receipt": _encoded(codec, "receipt", receipt, {**receipt, "case": None}),
    }


def test_a_case_is_complete_with_its_last_receipt(codec: Codec) -> None:
    """Cases are encoded rows of the table. A receipt without a case changes nothing."""
    records = _records(codec)
    receipts = {"receipt": records.pop("receipt")}
    table: dict[bytes, bytes] = {}
    cases = CaseTable(codec, table)
    cases.apply(events_by_case(codec, records))
    assert cases.read_all().to_pylist()[0]["pending"] == ["child/p/1"]
    cases.apply(events_by_case(codec, receipts))
    row = cases.read_row("131041/13104-1")
    assert len(table) == 1
    assert row is not None
    assert (row["complete"], row["persons"], row["pending"]) == (True, [], [])


def test_http_answers_need_the_token_and_have_no_persons(codec: Codec) -> None:
    """With the token a client gets the summary, the list and the overdue case, without persons."""
    cases = CaseTable(codec, {})
    records = _records(codec)
    cases.apply(
        events_by_case(codec, {topic: records[topic] for topic in ("case.opened", "case.dispatched")})
    )
    answers = asyncio.run(_ask(cases, ["/summary", "/cases?status=overdue", "/cases/131041/13104-1"]))
    denied, (summary, listed, case) = answers
    assert denied == 401
    assert (summary["cases"], summary["overdue"], summary["changes"]) == (1, 1, 1)
    assert listed == [case]
    assert case["waiting_for"] == {"child": 1}
    assert "'p'" not in str(answers)


def test_a_case_that_waits_says_until_when(codec: Codec) -> None:
    """It is none of the overdue ones, and the list of those that wait has it."""
    cases, records = CaseTable(codec, {}), _records(codec)
    waits = {"case": CASE, "person": "p", "changes": [], "waits": True, "waiting_until": date(2999, 12, 20)}
    events = {
        "case.opened": records["case.opened"],
        "case.dispatched": _encoded(codec, "case-dispatched", waits),
    }
    cases.apply(events_by_case(codec, events))
    paths = ["/summary", "/cases?status=waiting", "/cases?status=open,overdue", "/cases/131041/13104-1"]
    _, (summary, listed, others, case) = asyncio.run(_ask(cases, paths))
    assert (summary["waiting"], summary["overdue"], summary["open"]) == (1, 0, 0)
    assert (listed, others) == ([case], [])
    assert (case["status"], case["waiting_until"]) == ("waiting", "2999-12-20")


async def _ask(cases: CaseTable, paths: list[str]) -> tuple[int, list[Any]]:
    async with TestClient(TestServer(site(cases, TrackerSettings(), "secret"))) as client:
        denied = await client.get("/summary")
        headers = {"Authorization": "Bearer secret"}
        return denied.status, [await (await client.get(path, headers=headers)).json() for path in paths]
