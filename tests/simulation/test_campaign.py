"""Counts add up over runs for one state of the code, and the document shows them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.simulation import campaign as campaigns
from tests.simulation.campaign import LEDGER, Count, campaign, code_digest, load_count
from tests.simulation.cli import Progress
from tests.simulation.faults import KINDS
from tests.simulation.report import BEGIN, DOCUMENT, END, section


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory of this test's own for the counts."""
    monkeypatch.setattr(campaigns, "COUNT_FILE", tmp_path / "build" / "simulate.json")
    monkeypatch.setattr(campaigns, "LEDGER", tmp_path / "docs" / "simulation.json")
    return tmp_path


def test_counts_add_up_over_runs() -> None:
    """A run continues with the seeds and the figures of the previous one."""
    before = load_count()
    before.histories, before.next = 7, {5: 3, 6: 1}
    campaigns.save(before)
    reported: list[Count] = []
    count = campaign(5, 60, 1, reported.append, histories_max=1)
    assert count.histories + count.skipped == 8
    assert count.findings == 0
    assert count.next == {5: 4, 6: 1}
    assert [*reported, load_count()] == [count, count]


def test_changed_code_starts_a_new_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count of other code proves nothing about this code."""
    count = load_count()
    count.histories = 7
    campaigns.save(count)
    assert load_count().histories == 7
    monkeypatch.setattr(campaigns, "code_digest", lambda: "another")
    assert load_count().histories == 0
    assert load_count().earlier == []


def test_a_large_written_count_outlives_changes_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept over two changes with small counts, and the document shows it."""
    count = load_count()
    count.histories, count.findings = 100_000, 1
    campaigns.save(count, campaigns.LEDGER)
    for digest in ("second", "third"):
        monkeypatch.setattr(campaigns, "code_digest", lambda digest=digest: digest)
        following = load_count()
        following.histories = 3
        campaigns.save(following, campaigns.LEDGER)
    assert [(earlier.tree, earlier.histories) for earlier in load_count().earlier] == [(count.tree, 100_000)]
    assert f"100,000 histories of digest {count.tree} ({count.commit}), 1 findings." in section(load_count())


def test_the_larger_of_both_counts_is_continued() -> None:
    """This machine's count and the written one are compared."""
    count = load_count()
    count.histories, count.next = 7, {5: 9}
    campaigns.save(count, campaigns.LEDGER)
    assert (load_count().histories, load_count().next) == (7, {5: 9})
    count.histories = 8
    campaigns.save(count)
    assert load_count().histories == 8
    count.histories = 3
    campaigns.save(count)
    assert load_count().histories == 7


def test_any_changed_byte_changes_the_digest_of_the_code(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest covers `streams`, `processors` and `connectors`."""
    monkeypatch.setattr(campaigns, "ROOT", directory)
    digests = set()
    for folder in ("streams", "processors", "connectors"):
        (directory / folder).mkdir()
        (directory / folder / "a.py").write_text("1")
        digests.add(code_digest())
    (directory / "connectors" / "a.py").write_text("2")
    digests.add(code_digest())
    assert len(digests) == 4


def test_an_interrupted_run_saves_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGINT running histories are completed and counted, and no other is started."""
    monkeypatch.setattr(campaigns, "SHARE", 1)
    reported: list[Count] = []

    def interrupt(count: Count) -> None:
        reported.append(count.model_copy())
        os.kill(os.getpid(), signal.SIGINT)

    count = campaign(6, 3_600, 1, interrupt)
    histories_run = count.histories + count.skipped
    assert 1 <= histories_run <= 2
    assert load_count() == count
    assert reported[0].next[6] <= count.next[6] <= 2


def test_the_progress_line() -> None:
    """It has the histories of all runs, but the rate and the remaining time of this one."""
    count, clock = load_count(), iter((100.0, 110.0))
    count.histories = 1_000
    progress = Progress(count, 60, lambda: next(clock))
    later = count.model_copy(update={"histories": 1_250, "skipped": 50, "cpu_s": 130.0, "findings": 2})
    line = progress.line(later)
    assert line.startswith("1,250 histories, 30.0 a second, 100 ms of CPU each")
    assert line.endswith("2 findings, 0:00:50 left")


def test_the_section_names_every_fault_with_every_call() -> None:
    """A fault that was never injected at a call is visible."""
    count = load_count()
    count.faults, count.steps = {"zombie": {"consume": 3}}, {"offset reset": {"sink": 2}}
    text = section(count)
    assert all(text.count(f"| {kind} |") == 2 for kind in KINDS)
    assert "consume 3," in text
    assert "| offset reset | – | – | – | – | 2 |" in text
    assert {("zombie", "consume"), ("offset reset", "sink")}.isdisjoint(count.never_injected)
    assert {("crash before", "consume"), ("zombie", "sink")} < set(count.never_injected)
    assert ("offset reset", "intake") not in count.never_injected


def test_a_large_written_count_misses_no_fault() -> None:
    """A thousand histories of this code inject every fault at every call and step where it is possible."""
    written = Count.model_validate_json(LEDGER.read_bytes())
    assert written.tree != code_digest() or written.histories < 1_000 or not written.never_injected


def test_the_document_has_the_section() -> None:
    """It has count, findings, date, commit and digest as the command writes them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    row = re.search(
        r"^\| [\d,]+ \| (\d+) \| [\d,]+ \| [\d,]+ \| \d{4}-\d\d-\d\d"
        r" \| [0-9a-f]{12}\+? \| [0-9a-f]{16} \| \d+ ms \|$",
        written,
        re.MULTILINE,
    )
    assert row is not None
    assert row[1] == "0"
    assert all(f"| {kind} |" in written for kind in KINDS)
    assert isinstance(load_count(), Count)
