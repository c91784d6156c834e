"""The figures of all runs together, the page that shows them, and the order in which faults strike."""

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
from tests.chaos.faults import FAULTS, coordinating, next_kind
from tests.chaos.figures import added, digest, known, load, of_run, save, struck
from tests.chaos.history import history, read
from tests.chaos.page import page
from tests.chaos.picture import picture, poster
from tests.chaos.report import BEGIN, END, section
from tests.chaos.run import Plan, Result
from tests.sections import put

COUNTS = {"batches_committed": 7, "hand_overs": 5, "load_average": 2.5}


def outcome(kind: str, still_s: float | None, target: str = "fan-out.0") -> FaultOutcome:
    """Struck in second 10, mended in second 12, whole in second 20."""
    return FaultOutcome(kind, target, "", 10.0, 12.0, 20.0, True, still_s, "person.change/3", 1.5)


def result(
    *outcomes: FaultOutcome, anomalies: tuple[Anomaly, ...] = (), file: Path = Path("a.jsonl")
) -> Result:
    restores = [("fan-out", 3, 14.0, 2.0), ("fan-out", 2, 14.0, 9.0), ("household", 3, 14.0, 9.0)]
    return Result(file, outcomes, anomalies, restores, COUNTS)


def run(code: str, *outcomes: FaultOutcome, anomalies: tuple[Anomaly, ...] = ()) -> dict[str, Any]:
    plan = Plan(Path("build"), minutes=2.5, seed=3, kinds=list(FAULTS))
    return of_run(plan, result(*outcomes, anomalies=anomalies)) | {"code": code}


def test_runs_of_the_same_code_add_up() -> None:
    """Faults, minutes and times by kind; restoring is told apart, as far as it was of the slowest partition."""
    figures: dict[str, Any] = {}
    for still_s in (4.0, 5.0, 9.0):
        figures = added(figures, run("now", outcome("worker-kill", still_s), outcome("broker-kill", None)))
    assert (figures["minutes"], figures["runs_counted"], figures["commits"]) == (0.99, 3, 21)
    assert figures["faults"] == {"broker-kill": 3, "worker-kill": 3}
    of = figures["recovery"]["worker-kill"]
    assert of["stood_still_s"] == {"median": 5.0, "max": 9.0}
    assert of["without_restore_s"] == {"median": 3.0, "max": 7.0}
    assert (of["within"], of["limit_s"], of["measured"]) == (2, 3.0, 3)
    assert figures["recovery"]["broker-kill"]["stood_still_s"] is None
    assert struck(figures, "now") == figures["faults"]


def test_other_code_begins_anew() -> None:
    """Its runs stay in the list, and count no more; nor do its anomalies."""
    bad = Anomaly("torn-case", 2, ("x",))
    figures = added({}, run("before", outcome("worker-kill", 1.0), anomalies=(bad,)))
    assert figures["anomalies"] == {"torn-case": 2}
    figures = added(figures, run("now", outcome("worker-kill", 1.0)))
    assert (figures["anomalies"], figures["faults"], len(figures["runs"])) == ({}, {"worker-kill": 1}, 2)
    assert struck(figures, "other") == {}


def test_figures_are_kept(tmp_path: Path) -> None:
    """As they were; nothing where nothing was."""
    file = tmp_path / "chaos.json"
    assert load(file) == {}
    figures = added({}, run("now", outcome("worker-kill", float("inf"))))
    save(file, figures)
    assert load(file) == orjson.loads(orjson.dumps(figures))
    assert load(file)["runs"][0]["faults"][0]["stood_still_s"] is None


def test_what_was_written_down_is_counted_on_from(tmp_path: Path) -> None:
    """Where it is more of the code as it is now than this machine has; other code's is not."""
    ours, ledger = tmp_path / "build.json", tmp_path / "docs.json"
    assert known(ours, ledger) == {}
    one = added({}, run(digest(), outcome("worker-kill", 1.0)))
    two = added(one, run(digest(), outcome("worker-kill", 1.0)))
    save(ledger, two)
    save(ours, added({}, run("before", *[outcome("worker-kill", 1.0)] * 9)))
    assert known(ours, ledger) == load(ledger)
    save(ours, added(two, run(digest(), outcome("broker-kill", 1.0))))
    assert known(ours, ledger) == load(ours)


def test_the_document_tells_every_kind_and_every_run(tmp_path: Path) -> None:
    """In place of what it told before; a kind that never struck is told too."""
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\nformer\n{END}\nafter\n", "utf-8")
    bad = Anomaly("torn-case", 2, ("x",))
    put(document, section(added({}, run("now", outcome("worker-kill", 4.0), anomalies=(bad,)))))
    text = document.read_text("utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "former" not in text
    assert "| worker-kill | 1 | 2.0, 2.0 | 3 s: 1 of 1 | 1.5, 1.5 | 8.0, 8.0 |" in text
    assert "| broker-pause | 0 |" in text
    assert "| 1 | torn-case 2 | 7 | 2.5 |" in text


def test_the_page_shows_every_fault_and_every_anomaly(tmp_path: Path) -> None:
    """It is well-formed, fetches nothing, and draws the run's history."""
    file = tmp_path / "a.jsonl"
    with history(file) as told:
        for count in (1, 2, 3):
            told.note("sample", accepted=count, left={"intake": count})
        told.note("recovered", **vars(outcome("worker-kill", 2.0)))
    figures = added(
        {}, run("now", outcome("worker-kill", 2.0), anomalies=(Anomaly("torn-case", 2, ("<x>",)),))
    )
    text = page(figures, tmp_path)
    assert "2 anomalies" in text
    assert "&lt;x&gt;" in text
    assert text.count("<svg") == 1
    assert ">worker-kill<" in text
    assert "http" not in text
    assert _Tags().balanced(text)


def test_a_long_run_is_drawn_in_strips_to_one_scale() -> None:
    """Each fault is named once, where it struck, and seen wherever it lasted; what comes after the last isn't drawn."""
    samples = [{"event": "sample", "at_s": float(at), "accepted": 15 * at, "left": {}} for at in range(900)]
    rest = {"event": "sample", "at_s": 901.0, "accepted": 1_000_000, "left": {"intake": 1_000_000}}
    faults = [
        {"event": "recovered", **vars(outcome("worker-kill", 2.0)), "struck_s": at, "recovered_s": at + 60.0}
        for at in (10.0, 270.0, 838.0)
    ]
    history_ = [*samples, *({**each, "mended_s": each["struck_s"] + 20.0} for each in faults), rest]
    drawn = picture(history_)
    assert drawn.count("<svg") == 3
    assert drawn.count(">worker-kill<") == 3
    # Two bands of each, and of the one that goes on in the second strip two more there.
    assert drawn.count("fill-opacity") == 2 * (3 + 1)
    assert "15/s" in drawn
    assert "1,000,000" not in drawn
    alone = poster(history_)
    assert alone is not None
    of_own = ElementTree.fromstring(alone)  # noqa: S314 - our own
    assert [each.tag for each in of_own].count("{http://www.w3.org/2000/svg}svg") == 3
    assert poster([rest]) is None


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """But for a last line that was cut short."""
    file = tmp_path / "h.jsonl"
    with history(file) as told:
        told.note("begun", seed=1)
        told.note("settled", accepted=5)
    with file.open("ab") as stream:
        stream.write(b'{"at_s": 3, "eve')
    assert [event["event"] for event in read(file)] == ["begun", "settled"]


def test_kinds_strike_evenly_in_an_order_that_the_seed_tells() -> None:
    """Those first that struck least often in earlier runs; then every kind once a round, whatever the seed."""
    kinds = list(FAULTS)
    before = dict.fromkeys(kinds, 3) | {"registry-gone": 1}
    assert _order(kinds, 1, before, 2) == ["registry-gone"] * 2
    one, other = (_order(kinds, seed, {}, len(kinds)) for seed in (1, 2))
    assert one == _order(kinds, 1, {}, len(kinds))
    assert one != other
    assert sorted(one) == sorted(other) == sorted(kinds)


def test_a_run_may_end_when_each_kind_struck_often_enough() -> None:
    """Earlier runs count."""
    kinds = list(FAULTS)
    before = dict.fromkeys(kinds, 10)
    assert next_kind(kinds, random.Random(1), before, 10) is None  # noqa: S311
    assert next_kind(kinds, random.Random(1), before | {"worker-gone": 9}, 10) == "worker-gone"  # noqa: S311
    assert next_kind(kinds, random.Random(1), before) in kinds  # noqa: S311


def _order(kinds: list[str], seed: int, before: dict[str, int], count: int) -> list[str]:
    chance, struck, found = random.Random(seed), Counter(before), list[str]()  # noqa: S311
    for _ in range(count):
        found.append(next_kind(kinds, chance, struck) or "")
        struck[found[-1]] += 1
    return found


def test_the_coordinator_of_an_id_is_where_java_puts_it() -> None:
    """`String.hashCode` of "polygenelubricants" is the least integer, of which Kafka makes 0."""
    assert coordinating("", 50) == 0
    assert coordinating("abc", 100_000) == 96354
    assert coordinating("polygenelubricants", 7) == 0


class _Tags(HTMLParser):
    """Follows the nesting of a page."""

    EMPTY = frozenset({"meta", "rect", "line", "polyline", "br"})

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._well = True

    def balanced(self, text: str) -> bool:
        """Whether every element that needs an end has it, in its place."""
        self.feed(text)
        return self._well and not self._open

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Whole in itself."""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._well = self._well and bool(self._open) and self._open.pop() == tag
