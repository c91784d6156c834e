"""Counts add up over runs, for one tree of code; the document says what they come to."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.simulation import campaign as campaigns
from tests.simulation.campaign import LEDGER, Count, campaign, counted, tree
from tests.simulation.cli import Progress
from tests.simulation.faults import KINDS
from tests.simulation.report import BEGIN, DOCUMENT, END, section


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of this test's own for the count."""
    monkeypatch.setattr(campaigns, "KEPT", tmp_path / "build" / "simulate.json")
    monkeypatch.setattr(campaigns, "LEDGER", tmp_path / "docs" / "simulation.json")
    return tmp_path


def test_counts_add_up_over_runs() -> None:
    """A run goes on where the one before ended, with its seeds and its figures."""
    before = counted()
    before.histories, before.next = 7, {5: 3, 6: 1}
    campaigns.keep(before)
    seen: list[Count] = []
    count = campaign(5, 60, 1, seen.append, histories_max=1)
    assert count.histories + count.passed_over == 8
    assert count.findings == 0
    assert count.next == {5: 4, 6: 1}
    assert [*seen, counted()] == [count, count]


def test_other_code_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted of other code says nothing of this."""
    count = counted()
    count.histories = 7
    campaigns.keep(count)
    assert counted().histories == 7
    monkeypatch.setattr(campaigns, "tree", lambda: "another")
    assert counted().histories == 0
    assert counted().before == []


def test_what_was_written_down_of_many_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the next tree nor by the one after that, of which there are few; the document says so."""
    count = counted()
    count.histories, count.findings = 100_000, 1
    campaigns.keep(count, campaigns.LEDGER)
    for name in ("second", "third"):
        monkeypatch.setattr(campaigns, "tree", lambda name=name: name)
        following = counted()
        following.histories = 3
        campaigns.keep(following, campaigns.LEDGER)
    assert [(each.tree, each.histories) for each in counted().before] == [(count.tree, 100_000)]
    assert f"100,000 histories of tree {count.tree} ({count.commit}), 1 findings." in section(counted())


def test_what_was_written_down_is_counted_on_from() -> None:
    """On a machine that has counted nothing, or less; what it has counted since is more."""
    count = counted()
    count.histories, count.next = 7, {5: 9}
    campaigns.keep(count, campaigns.LEDGER)
    assert (counted().histories, counted().next) == (7, {5: 9})
    count.histories = 8
    campaigns.keep(count)
    assert counted().histories == 8
    count.histories = 3
    campaigns.keep(count)
    assert counted().histories == 7


def test_a_change_of_the_code_is_another_tree(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each of the three folders, a byte is enough."""
    monkeypatch.setattr(campaigns, "ROOT", place)
    digests = set()
    for folder in ("streams", "processors", "connectors"):
        (place / folder).mkdir()
        (place / folder / "a.py").write_text("1")
        digests.add(tree())
    (place / "connectors" / "a.py").write_text("2")
    digests.add(tree())
    assert len(digests) == 4


def test_a_run_that_is_told_to_stop_keeps_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGINT what is under way is run to its end and counted, and nothing more is begun."""
    monkeypatch.setattr(campaigns, "_SHARE", 1)
    told: list[Count] = []

    def stop(count: Count) -> None:
        told.append(count.model_copy())
        os.kill(os.getpid(), signal.SIGINT)

    count = campaign(6, 3_600, 1, stop)
    run = count.histories + count.passed_over
    assert 1 <= run <= 2
    assert counted() == count
    assert told[0].next[6] <= count.next[6] <= 2


def test_the_line_says_how_far_it_is() -> None:
    """Histories of all runs; the rate and the time left of this one."""
    count, clock = counted(), iter((100.0, 110.0))
    count.histories = 1_000
    progress = Progress(count, 60, lambda: next(clock))
    later = count.model_copy(update={"histories": 1_250, "passed_over": 50, "cpu_s": 130.0, "findings": 2})
    line = progress.line(later)
    assert line.startswith("1,250 histories, 30.0 a second, 100 ms of CPU each")
    assert line.endswith("2 findings, 0:00:50 left")


def test_the_section_names_every_fault_and_call() -> None:
    """So that an empty place is seen."""
    count = counted()
    count.faults, count.steps = {"zombie": {"consume": 3}}, {"offset set back": {"sink": 2}}
    text = section(count)
    assert all(text.count(f"| {kind} |") == 2 for kind in KINDS)
    assert "consume 3," in text
    assert "| offset set back | – | – | – | – | 2 |" in text
    assert {("zombie", "consume"), ("offset set back", "sink")}.isdisjoint(count.empty)
    assert {("crash before", "consume"), ("zombie", "sink")} < set(count.empty)
    assert ("offset set back", "intake") not in count.empty


def test_no_place_is_empty_in_what_is_written_down() -> None:
    """A thousand histories have every fault strike every call and every step that it can."""
    written = Count.model_validate_json(LEDGER.read_bytes())
    assert written.histories < 1_000 or not written.empty


def test_the_document_has_the_section_in_form() -> None:
    """Count, findings, date and commit, as the command writes them."""
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
    assert isinstance(counted(), Count)
