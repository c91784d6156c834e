"""`make bench`: what was measured is told as it is, in list, table and pictures; and nothing is fetched unpinned."""

from __future__ import annotations

import importlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import orjson
import pytest

from infra.local.artifacts import Artifact
from tests.bench import figures, picture, quix, report, timing
from tests.bench.__main__ import PARTS, arguments
from tests.bench.figures import Figure, at_least, at_most
from tests.bench.kafka_streams import PINNED
from tests.bench.side import ROOT
from tests.bench.timing import Run, Stopwatch

FIGURES = [
    Figure("step: against <the loop>", 120_000.4, 100_000, "records/s", at_least(0.85)),
    Figure("step: CPU", 8.0, 4.0, "µs/record", at_most(0.7)),
    Figure("step: memory", 250.0, None, "MB"),
    Figure("wait", 0.4, None, "s", at_most(1)),
    Figure("other: against theirs", 5.0, None, "records/s", at_least(2), "no JDK here"),
]


def test_a_goal_is_of_the_ratio_or_of_ours_alone() -> None:
    """Never met where the other side could not be had."""
    assert [each.met for each in FIGURES] == [True, False, None, True, None]
    assert [each.ratio for each in FIGURES] == [pytest.approx(1.2, abs=1e-3), 2.0, None, None, None]


def test_the_list_has_what_readers_rely_on(tmp_path: Path) -> None:
    """Name, ours, theirs, unit, ratio, goal, met of each; and why there is no other side."""
    figures.save(tmp_path / "build" / "bench.json", FIGURES)
    found = orjson.loads((tmp_path / "build" / "bench.json").read_bytes())
    keys = {"name", "ours", "theirs", "unit", "ratio", "goal", "met"}
    assert [set(each) - {"note"} for each in found] == [keys] * len(FIGURES)
    assert found[0] == {
        "name": "step: against <the loop>",
        "ours": 120_000,
        "theirs": 100_000,
        "unit": "records/s",
        "ratio": 1.2,
        "goal": "≥ 0.85",
        "met": True,
    }
    assert found[-1]["note"] == "no JDK here"


def test_only_what_comes_after_the_first_counts() -> None:
    """A stopwatch begins when the warm records are done, and ends with the last."""
    watch = Stopwatch(records=100, warm=20)
    for records in (10, 30, 30):
        watch.add(records)
    assert not watch.done
    with pytest.raises(ValueError, match="not all"):
        _ = watch.run
    watch.add(40)
    assert watch.run.records == 70
    assert watch.run.memory_mb > 1


def test_one_batch_measures_nothing() -> None:
    """It is an error, not a figure."""
    with pytest.raises(ValueError, match="one batch"):
        Stopwatch(records=100, warm=20).add(100)


def test_sides_take_turns_and_the_middle_counts() -> None:
    """Who goes first changes from round to round; one bad run doesn't count."""
    order: list[str] = []
    rates = {"ours": iter([10.0, 900.0, 11.0]), "theirs": iter([5.0, 6.0, 7.0])}

    def side(name: str) -> Run:
        order.append(name)
        return Run(100, 100 / next(rates[name]), 1.0, 10.0)

    sides = {name: partial(side, name) for name in rates}
    runs = timing.alternate(sides, 3, lambda: order.append("feed"), lambda _: None)
    assert order == ["feed", "ours", "theirs", "feed", "theirs", "ours", "feed", "ours", "theirs"]
    assert timing.rate(runs["ours"]) == pytest.approx(11)


def test_the_section_takes_the_place_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else of the document stays, and no figure of before is left."""
    document = tmp_path / "performance.md"
    document.write_text(f"# Before\n\n{report.BEGIN}\nold\n{report.END}\n\n# After\n", encoding="utf-8")
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report, "PICTURES", tmp_path / "pictures")
    report.write(FIGURES, rounds=5)
    report.write(FIGURES[:3], rounds=5)
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# Before\n\n<!--")
    assert text.endswith("<!-- bench: end -->\n\n# After\n")
    assert text.count("| step: CPU | 8 | 4 | µs/record | 2 | ≤ 0.7 | **no** |") == 1
    assert "old" not in text
    assert "no JDK" not in text
    assert (tmp_path / "pictures" / "bench-goals.svg").is_file()


@pytest.mark.parametrize(("draw", "bars"), [(picture.ratios, 3), (picture.cpu, 2)])
def test_pictures_can_be_drawn(draw: Callable[[Sequence[Figure]], str], bars: int) -> None:
    """Well-formed, with a bar for each figure that belongs in it, whatever stands in a name."""
    root = ET.fromstring(draw(FIGURES))  # noqa: S314 - our own
    drawn = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") != "#fff"]
    assert len(drawn) == bars


def test_all_parts_are_run_by_default() -> None:
    """Or those that are named; a misspelt one is an error."""
    assert list(arguments().parse_args([]).parts) == list(PARTS)
    assert arguments().parse_args(["sink", "--quick"]).parts == ["sink"]
    with pytest.raises(SystemExit):
        arguments().parse_args(["sinks"])


def test_the_document_has_its_place() -> None:
    """Once, and it says how a part is run by itself."""
    text = report.DOCUMENT.read_text(encoding="utf-8")
    assert (text.count(report.BEGIN), text.count(report.END)) == (1, 1)
    assert "make bench" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_measured_and_is_documented(part: str) -> None:
    """A module with one function, named where a reader looks."""
    assert callable(importlib.import_module(f"tests.bench.{part}").measure)
    assert f"`{part}`" in report.DOCUMENT.read_text(encoding="utf-8")


def test_others_are_fetched_by_hash() -> None:
    """Every package and jar of theirs is pinned, and none is a dependency of the project."""
    packages = re.findall(r"^\S.*==.*$", quix.LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(each.endswith("\\") for each in packages)
    assert any(each.startswith("quixstreams==") for each in packages)
    assert all(Artifact(**each).sha256 for each in orjson.loads(PINNED.read_bytes()))
    own = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "quixstreams" not in own
