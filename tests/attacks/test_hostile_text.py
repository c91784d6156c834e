"""Text from outside that is markup for the terminal's library, or controls the terminal itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

from connectors.errors import FileNameError
from connectors.events.source import NoticesSource
from connectors.juki_cs.source import JukiCsSource
from infra.demo import page as demo_page
from infra.demo.report import DomainFigures, Latency, Phase, Report
from infra.monitoring import cli as monitoring
from infra.monitoring.status import MeshStatus, WorkerStatus
from infra.run.settings import TrackerSettings
from infra.tracker import cli as cases
from infra.tracker.app import CaseTable, events_by_case
from infra.tracker.web import site
from infra.triage import cli as triage
from infra.triage import dead_letter_listing, rejections_and_conflicts
from infra.verification.reference import Difference
from processors.intake import IntakeProcessor
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows
from tests.chaos import page as chaos_page
from tests.samples import SMALL_CITY
from tests.unit.processors.submissions import (
    csv_notices,
    csv_row,
    high_sealer,
    json_notice,
    json_notices,
    json_person,
    key_ring,
    rejections,
)

#: Rich's markup that closes a tag nobody opened, an escape sequence that clears the screen, the same in one character
#: (C1), a change of direction, a line end, an invisible tag character, and a tag of HTML.
HOSTILE = "[/x]\x1b[2J\x9b2J\u202e\n\U000e0041<script>"
FORBIDDEN = ("\x1b", "\x9b", "\u202e", "\U000e0041")
INTAKE = IntakeProcessor(key_ring(), high_sealer())


class AnyRow(dict[str, Any]):
    """A row of a listing in which every column is hostile."""

    def __missing__(self, name: str) -> str:
        return HOSTILE


def rejected_row() -> dict[str, Any]:
    """Return a row of `mesh rejected list`."""
    names = ("id", "kind", "notice", "source", "reason", "code", "system", "municipality", "topic")
    return dict.fromkeys(names, HOSTILE) | {
        "line": 1,
        "offset": 1,
        "received_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


def conflict_row() -> dict[str, Any]:
    """Return a row of `mesh conflicts list`."""
    names = ("id", "kind", "person", "domain", "municipality", "other_municipality", "reason")
    return dict.fromkeys(names, HOSTILE) | {"effective_on": date(2026, 1, 1)}


def dead_letter_row() -> dict[str, Any]:
    """Return a row of `mesh dlq list`."""
    names = ("id", "status", "reason", "topic", "dismissal_reason")
    return dict.fromkeys(names, HOSTILE) | {"blocked": 1, "partition": 0, "offset": 1}


def case() -> dict[str, Any]:
    """Return a case as the tracker answers."""
    names = ("municipality", "notice", "reason", "status", "received_at")
    return dict.fromkeys(names, HOSTILE) | {"waiting_until": HOSTILE, "waiting_for": {HOSTILE: 1}}


def mesh_status() -> MeshStatus:
    """Return a status with a worker and a dead-letter queue."""
    worker = WorkerStatus(HOSTILE, 0, HOSTILE, None, 0, [], None)
    return MeshStatus([], [worker], {HOSTILE: (1, 2)})


class Answers:
    """A tracker whose answers are hostile."""

    def cases(self, statuses: str) -> list[dict[str, Any]]:
        """Return one case."""
        return [case()]

    def case(self, municipality: str, notice: str) -> dict[str, Any]:
        """Return one case."""
        return case()


@pytest.fixture
def hostile_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every listing read hostile rows, without servers."""
    submission = rejections_and_conflicts.StoredSubmission({"file": HOSTILE}, "x", {"name": HOSTILE})
    monkeypatch.setattr(triage, "_codec", lambda: (None, None))
    for module, name, answer in (
        (rejections_and_conflicts, "list_rejected", [rejected_row()]),
        (rejections_and_conflicts, "list_conflicts", [conflict_row()]),
        (rejections_and_conflicts, "read_submission", submission),
        (dead_letter_listing, "list_dead_letters", [dead_letter_row()]),
        (dead_letter_listing, "read_dead_letter", {"key": HOSTILE, "value": {"name": HOSTILE}}),
        (monitoring, "status_of", mesh_status()),
        (cases, "_tracker", Answers()),
    ):
        monkeypatch.setattr(module, name, lambda *_, answer=answer: answer)


LISTINGS = [
    (triage.rejected_app, ["list"]),
    (triage.rejected_app, ["list", "--json"]),
    (triage.rejected_app, ["show", "1"]),
    (triage.conflicts_app, ["list"]),
    (triage.conflicts_app, ["list", "--json"]),
    (triage.dlq_app, ["list"]),
    (triage.dlq_app, ["list", "--json"]),
    (triage.dlq_app, ["show", "1"]),
    (monitoring.status_app, []),
    (monitoring.status_app, ["--json"]),
    (cases.app, ["list"]),
    (cases.app, ["list", "--json"]),
    (cases.app, ["show", "1", "2"]),
]


@pytest.mark.usefixtures("hostile_listings")
@pytest.mark.parametrize(("app", "arguments"), LISTINGS)
def test_a_listing_shows_hostile_text_as_text(app: Any, arguments: list[str]) -> None:
    """There is no traceback, nothing reaches the terminal, and JSON means what it meant."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert not isinstance(result.exception, Exception), result.exception
    assert not [character for character in FORBIDDEN if character in result.output]
    if "--json" in arguments or arguments[:1] == ["show"]:
        document = result.stdout[result.stdout.index("{") :]
        assert HOSTILE in _texts(json.loads(document))
    else:
        assert r"[/x]\x1b[2J\x9b2J\u202e\x0a\U000e0041<script>" in result.output


def _texts(document: Any) -> Iterator[str]:
    """Yield every text of a JSON document."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            yield from _texts(value)
    elif isinstance(document, list):
        for item in document:
            yield from _texts(item)
    elif isinstance(document, str):
        yield document


def test_the_report_of_the_demo_shows_hostile_text_as_text() -> None:
    """The folder of the second city names an input."""
    report = Report(
        residents=1,
        submitted=1,
        accepted={},
        rejected={HOSTILE: 1},
        conflicts=0,
        domains=[DomainFigures(HOSTILE, HOSTILE, 1, {HOSTILE: 1}, 1)],
        latencies=[Latency(HOSTILE, 1, 1.0, 1.0)],
        cases={},
        compared_rows=0,
        compared_messages=0,
        compared_accounts=0,
        differences=[Difference(HOSTILE, None, HOSTILE)],
        phases=[Phase(HOSTILE, 1.0)],
        notices_per_s=1.0,
        machine=HOSTILE,
        inputs=[HOSTILE],
    )
    html = demo_page.page(report)
    assert "<script>" not in html
    assert not [character for character in FORBIDDEN if character in html]


def test_the_page_of_chaos_shows_hostile_text_as_text(tmp_path: Path) -> None:
    """The examples of an anomaly may quote what was read."""
    run = {
        "code": "c", "history": HOSTILE, "minutes": 1, "seed": 1, "commit": HOSTILE, "faults": [], "counts": {},
        "anomalies": {HOSTILE: 1}, "examples": {HOSTILE: [HOSTILE]},
    }  # fmt: skip
    figures = {
        "code": "c", "runs": [run], "anomalies": {HOSTILE: 1}, "faults": {}, "recovery": {}, "runs_counted": 1,
        "minutes": 1, "submissions": 1, "batches_committed": 1,
    }  # fmt: skip
    html = chaos_page.page(figures, tmp_path)
    assert "<script>" not in html
    assert not [character for character in FORBIDDEN if character in html]


FILE_NAMES = ["\x1b[2J", "\u202e", "\u200b", "\x9b", "\udcff", "\n"]


@pytest.mark.parametrize("hidden", FILE_NAMES, ids=ascii)
def test_a_file_whose_name_has_a_hidden_character_is_not_ingested(hidden: str, tmp_path: Path) -> None:
    """Its name would become the source of every submission in it."""
    for source in (
        JukiCsSource(tmp_path / f"juki_131041_{hidden}.csv"),
        NoticesSource(tmp_path / f"notices_131130_{hidden}.jsonl"),
    ):
        with pytest.raises(FileNameError):
            source.open()


@pytest.mark.parametrize("name", ["juki_131041_[bold]x[bold].csv", "juki_131041_四月葛\U000e0100分.csv"])
def test_a_file_may_have_any_visible_name(name: str, tmp_path: Path) -> None:
    """Markup is only a problem of output, and a variation selector belongs to its kanji."""
    file = tmp_path / name
    file.write_bytes((SMALL_CITY / "juki_131041.csv").read_bytes())
    assert JukiCsSource(file).open()


HIDDEN_IN_NAMES = [
    "\x1b",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u00ad",
    "\u3164",
    "\U000e0041",
]


@pytest.mark.parametrize("hidden", HIDDEN_IN_NAMES, ids=ascii)
@pytest.mark.parametrize("field", ["name", "relationship", "address"])
def test_intake_rejects_a_name_with_a_hidden_character(field: str, hidden: str) -> None:
    """From a register's CSV and from its own messages, by the code of the field."""
    value = csv_row()[field][:1] + hidden + csv_row()[field][1:]
    code = f"FORM_{field.upper()}"
    assert rejections(INTAKE.process([csv_notices([csv_row(**{field: value})])])) == [
        (csv_row()["notice"], code)
    ]
    notice = json_notice(persons=[json_person(**{field: value})])
    assert rejections(INTAKE.process([json_notices(notice)])) == [(csv_row()["notice"], code)]


@pytest.mark.parametrize("hidden", HIDDEN_IN_NAMES, ids=ascii)
def test_intake_rejects_a_submission_whose_file_has_a_hidden_character(hidden: str) -> None:
    """An agency with a client of its own writes what it likes into the field that listings show as source."""
    notice = json_notice(file=f"notices{hidden}.jsonl")
    assert rejections(INTAKE.process([json_notices(notice)])) == [(csv_row()["notice"], "FORM_FILE")]
    for file in ("通知_[/x].jsonl", "", None):
        assert rejections(INTAKE.process([json_notices(json_notice(file=file))])) == []


@pytest.mark.parametrize(
    "name", ["𠮷田　太郎", "山﨑　花子", "葛\U000e0100城　一郎", "辻\ufe00　一郎", "神\U000e01ef　一"]
)
def test_intake_accepts_every_kanji_and_its_variants(name: str) -> None:
    """A person's name may have kanji beyond the first plane, and variation selectors."""
    assert rejections(INTAKE.process([csv_notices([csv_row(name=name)])])) == []


@pytest.mark.parametrize("name", ["\ufe00", "　\U000e0100"], ids=ascii)
def test_intake_rejects_a_name_of_variation_selectors_alone(name: str) -> None:
    """It would look empty."""
    assert rejections(INTAKE.process([csv_notices([csv_row(name=name)])])) == [
        (csv_row()["notice"], "FORM_NAME")
    ]


def test_answers_of_the_tracker_have_no_hidden_character() -> None:
    """JSON escapes them, whatever a topic contains."""
    codec = Codec(catalogue(), LocalSchemaIds(catalogue()))
    opened = {
        "case": {"municipality": "131041", "notice": HOSTILE}, "reason": "MOVED_IN", "persons": 1,
        "effective_on": date(2026, 4, 1), "received_at": datetime(2026, 4, 1, tzinfo=UTC),
    }  # fmt: skip
    cases_table = CaseTable(codec, {})
    values: list[bytes] = codec.encode("case-opened", table_from_rows("case-opened", [opened])).to_pylist()
    cases_table.apply(events_by_case(codec, {"case.opened": values}))
    answer = asyncio.run(_answer(site(cases_table, TrackerSettings(), "secret"), "/cases?status=overdue"))
    assert json.loads(answer)[0]["notice"] == HOSTILE
    assert not [character for character in FORBIDDEN if character in answer]


async def _answer(application: web.Application, path: str) -> str:
    async with TestClient(TestServer(application)) as http:
        answer = await http.get(path, headers={"Authorization": "Bearer secret"})
        return await answer.text()
