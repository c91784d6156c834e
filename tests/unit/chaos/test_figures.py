"""The figures of all runs, the page and the document that show them, and the order in which faults are injected."""

from __future__ import annotations

import random
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson

from tests.chaos.campaign import FaultOutcome
from tests.chaos.checker import Anomaly
from tests.chaos.faults import FAULTS, coordinator_partition, next_kind
from tests.chaos.figures import (
    add_run,
    code_digest,
    injected_counts,
    load,
    load_best,
    run_figures,
    save,
)
from tests.chaos.history import open_history, read_history
from tests.chaos.page import page
from tests.chaos.picture import svg_elements, svg_file
from tests.chaos.report import BEGIN, END, section
from tests.chaos.run import Plan, Restore, Result
from tests.sections import replace_section

COUNTS = {"batches_committed": 7, "submissions": 5, "load_average": 2.5}


def outcome_of(kind: str, stall_s: float | None, target: str = "fan-out.0") -> FaultOutcome:
    """Return an outcome injected in second 10, healed in second 12 and recovered in second 20."""
    return FaultOutcome(kind, target, "", 10.0, 12.0, 20.0, True, stall_s, "person.change/3", 1.5)


def result_of(
    *outcomes: FaultOutcome, anomalies: tuple[Anomaly, ...] = (), file: Path = Path("a.jsonl")
) -> Result:
    """Return a result; of its restores only the first, of 2 s, is in the slowest partition of the outcomes."""
    restores = [
        Restore("fan-out", 3, 14.0, 2.0),
        Restore("fan-out", 2, 14.0, 9.0),
        Restore("household", 3, 14.0, 9.0),
    ]
    return Result(file, outcomes, anomalies, restores, COUNTS)


def run_of(code: str, *outcomes: FaultOutcome, anomalies: tuple[Anomaly, ...] = ()) -> dict[str, Any]:
    """Return the figures of a run of the code with digest `code`."""
    plan = Plan(Path("build"), minutes=2.5, seed=3, kinds=list(FAULTS))
    return run_figures(plan, result_of(*outcomes, anomalies=anomalies)) | {"code": code}


def test_runs_of_the_same_code_add_up() -> None:
    """Faults and minutes are summed, times are by kind, with and without the restore of the slowest partition."""
    figures: dict[str, Any] = {}
    for stall_s in (4.0, 5.0, 9.0):
        outcomes = outcome_of("worker-kill", stall_s), outcome_of("broker-kill", None)
        figures = add_run(figures, run_of("current", *outcomes))
    assert (figures["minutes"], figures["runs_counted"], figures["batches_committed"]) == (0.99, 3, 21)
    assert figures["faults"] == {"broker-kill": 3, "worker-kill": 3}
    recovery = figures["recovery"]["worker-kill"]
    assert recovery["stall_s"] == {"median": 5.0, "max": 9.0}
    assert recovery["stall_without_restore_s"] == {"median": 3.0, "max": 7.0}
    assert (recovery["within"], recovery["limit_s"], recovery["measured"]) == (2, 3.0, 3)
    assert figures["recovery"]["broker-kill"]["stall_s"] is None
    assert injected_counts(figures, "current") == figures["faults"]


def test_a_change_of_code_starts_a_new_count() -> None:
    """Earlier runs stay listed; neither their faults nor their anomalies count."""
    anomaly = Anomaly("incomplete-case", 2, ("x",))
    figures = add_run({}, run_of("earlier", outcome_of("worker-kill", 1.0), anomalies=(anomaly,)))
    assert figures["anomalies"] == {"incomplete-case": 2}
    figures = add_run(figures, run_of("current", outcome_of("worker-kill", 1.0)))
    assert (figures["anomalies"], figures["faults"], len(figures["runs"])) == ({}, {"worker-kill": 1}, 2)
    assert injected_counts(figures, "other") == {}


def test_saved_figures_are_loaded_unchanged(tmp_path: Path) -> None:
    """A stall without end is saved as null; a missing file has no figures."""
    file = tmp_path / "chaos.json"
    assert load(file) == {}
    figures = add_run({}, run_of("current", outcome_of("worker-kill", float("inf"))))
    save(file, figures)
    assert load(file) == orjson.loads(orjson.dumps(figures))
    assert load(file)["runs"][0]["faults"][0]["stall_s"] is None


def test_a_machine_continues_from_the_figures_with_most_faults_of_the_current_code(tmp_path: Path) -> None:
    """These are the published ones or its own; faults of other code don't count."""
    own_file, published_file = tmp_path / "build.json", tmp_path / "docs.json"
    assert load_best(own_file, published_file) == {}
    one = add_run({}, run_of(code_digest(), outcome_of("worker-kill", 1.0)))
    two = add_run(one, run_of(code_digest(), outcome_of("worker-kill", 1.0)))
    save(published_file, two)
    save(own_file, add_run({}, run_of("earlier", *[outcome_of("worker-kill", 1.0)] * 9)))
    assert load_best(own_file, published_file) == load(published_file)
    save(own_file, add_run(two, run_of(code_digest(), outcome_of("broker-kill", 1.0))))
    assert load_best(own_file, published_file) == load(own_file)


def test_the_document_has_every_kind_and_every_run(tmp_path: Path) -> None:
    """The section replaces the earlier one; a kind that was never injected has a row too."""
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\nearlier\n{END}\nafter\n", "utf-8")
    anomaly = Anomaly("incomplete-case", 2, ("x",))
    figures = add_run({}, run_of("current", outcome_of("worker-kill", 4.0), anomalies=(anomaly,)))
    replace_section(document, section(figures))
    text = document.read_text("utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "earlier" not in text
    assert "| worker-kill | 1 | 2.0, 2.0 | 3 s: 1 of 1 | 1.5, 1.5 | 8.0, 8.0 |" in text
    assert "| broker-pause | 0 |" in text
    assert "| 1 | incomplete-case 2 | 7 | 2.5 |" in text


def test_the_page_has_every_fault_and_every_anomaly(tmp_path: Path) -> None:
    """It is well-formed, loads nothing from elsewhere, and draws the run's history."""
    with open_history(tmp_path / "a.jsonl") as history:
        for count in (1, 2, 3):
            history.write("sample", acknowledged=count, remaining={"intake": count})
        history.write("recovered", **vars(outcome_of("worker-kill", 2.0)))
    anomaly = Anomaly("incomplete-case", 2, ("<x>",))
    figures = add_run({}, run_of("current", outcome_of("worker-kill", 2.0), anomalies=(anomaly,)))
    text = page(figures, tmp_path)
    assert "2 anomalies" in text
    assert "&lt;x&gt;" in text
    assert text.count("<svg") == 1
    assert ">worker-kill<" in text
    assert "http" not in text
    assert _TagChecker().is_balanced(text)


def test_a_long_run_is_drawn_in_strips_to_one_scale() -> None:
    """A fault is labelled once and drawn in every strip it is in; nothing after the last fault is drawn."""
    samples = [
        {"event": "sample", "at_s": float(at_s), "acknowledged": 15 * at_s, "remaining": {}}
        for at_s in range(900)
    ]
    faults = [
        {
            "event": "recovered",
            **vars(outcome_of("worker-kill", 2.0)),
            "injected_s": injected_s,
            "healed_s": injected_s + 20.0,
            "recovered_s": injected_s + 60.0,
        }
        for injected_s in (10.0, 270.0, 838.0)
    ]
    after_last = {
        "event": "sample",
        "at_s": 901.0,
        "acknowledged": 1_000_000,
        "remaining": {"intake": 1_000_000},
    }
    events = [*samples, *faults, after_last]
    elements = svg_elements(events)
    assert elements.count("<svg") == 3
    assert elements.count(">worker-kill<") == 3
    # Two bands per fault, and two more for the one that continues in the second strip.
    assert elements.count("fill-opacity") == 2 * (3 + 1)
    assert "15/s" in elements
    assert "1,000,000" not in elements
    file = svg_file(events)
    assert file is not None
    root = ElementTree.fromstring(file)  # noqa: S314 - written by this test
    assert [element.tag for element in root].count("{http://www.w3.org/2000/svg}svg") == 3
    assert svg_file([after_last]) is None


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """An incomplete last line is left out."""
    file = tmp_path / "h.jsonl"
    with open_history(file) as history:
        history.write("begun", seed=1)
        history.write("idle", acknowledged=5)
    with file.open("ab") as stream:
        stream.write(b'{"at_s": 3, "eve')
    assert [event["event"] for event in read_history(file)] == ["begun", "idle"]


def test_kinds_are_injected_evenly_in_the_order_of_the_seed() -> None:
    """Those injected least often in earlier runs come first; then each kind once per round, whatever the seed."""
    kinds = list(FAULTS)
    before = dict.fromkeys(kinds, 3) | {"registry-down": 1}
    assert _injection_order(kinds, 1, before, 2) == ["registry-down"] * 2
    one, other = (_injection_order(kinds, seed, {}, len(kinds)) for seed in (1, 2))
    assert one == _injection_order(kinds, 1, {}, len(kinds))
    assert one != other
    assert sorted(one) == sorted(other) == sorted(kinds)


def test_a_run_may_end_once_each_kind_was_injected_often_enough() -> None:
    """Earlier runs count."""
    kinds = list(FAULTS)
    before = dict.fromkeys(kinds, 10)
    assert next_kind(kinds, random.Random(1), before, 10) is None  # noqa: S311
    assert next_kind(kinds, random.Random(1), before | {"worker-down": 9}, 10) == "worker-down"  # noqa: S311
    assert next_kind(kinds, random.Random(1), before) in kinds  # noqa: S311


def _injection_order(kinds: list[str], seed: int, before: dict[str, int], count: int) -> list[str]:
    rng, injected, order = random.Random(seed), Counter(before), list[str]()  # noqa: S311
    for _ in range(count):
        order.append(next_kind(kinds, rng, injected) or "")
        injected[order[-1]] += 1
    return order


def test_the_coordinator_of_a_transactional_id_follows_from_javas_hash_code() -> None:
    """`String.hashCode` of "polygenelubricants" is the least integer, for which Kafka uses 0."""
    assert coordinator_partition("", 50) == 0
    assert coordinator_partition("abc", 100_000) == 96354
    assert coordinator_partition("polygenelubricants", 7) == 0


class _TagChecker(HTMLParser):
    """Checks the nesting of a page's elements."""

    EMPTY = frozenset({"meta", "rect", "line", "polyline", "br"})

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._well_formed = True

    def is_balanced(self, text: str) -> bool:
        """Return whether every element that needs an end tag has it, in the right order."""
        self.feed(text)
        return self._well_formed and not self._open

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Ignore an element without an end tag."""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._well_formed = self._well_formed and bool(self._open) and self._open.pop() == tag
