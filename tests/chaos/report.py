"""`python -m tests.chaos.report`: what chaos has come to, into docs/reliability.md, docs/chaos.json, and a picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests import sections
from tests.chaos import figures
from tests.chaos.__main__ import FIGURES
from tests.chaos.faults import FAULTS
from tests.chaos.history import read
from tests.chaos.picture import poster
from tests.chaos.proxy import ROOT

BUILD: Final = ROOT / "build"
DOCUMENT: Final = ROOT / "docs" / "reliability.md"
PICTURE: Final = ROOT / "docs" / "pictures" / "chaos.svg"
BEGIN: Final = "<!-- chaos: written by `make chaos-report` -->"
END: Final = "<!-- chaos: end -->"


def main() -> int:
    """Writes them. 1: nothing is known of the code as it is now."""
    found = figures.known(BUILD / FIGURES)
    if not figures.struck(found, figures.digest()):
        sys.stderr.write("no run of the code as it is now\n")
        return 1
    figures.save(figures.LEDGER, found)
    sections.put(DOCUMENT, section(found))
    draw(found, BUILD / "chaos")
    return 0


def draw(found: figures.Figures, histories: Path) -> None:
    """The run that had most faults, where its history is kept; another machine's stays as it was drawn there."""
    longest = max(found["runs"], key=lambda run: (run["code"] == found["code"], len(run["faults"])))
    file = histories / longest["history"]
    drawn = poster(read(file)) if file.is_file() else None
    if drawn:
        PICTURE.write_text(drawn, "utf-8")


def section(found: figures.Figures) -> str:
    """The runs that count, and how often each kind of fault struck and how long the mesh stood still."""
    anomalies = sum(found["anomalies"].values())
    runs = [each for each in found["runs"] if each["code"] == found["code"]]
    told = (
        f"{sum(found['faults'].values())} faults, {anomalies} anomalies in {found['minutes']:.0f} minutes of"
        f" faults (runs: {found['runs_counted']}), {found['hand_overs']:,} hand-overs, {found['commits']:,}"
        f" batches committed; commit {found['commit']}, code {found['code']}."
    )
    lines = [
        BEGIN,
        "",
        told,
        "",
        "| run | minutes | seed | faults | anomalies | batches committed | load average |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_run(each) for each in runs),
        "",
        "Seconds (median, longest) that the slowest partition stood still, restoring apart, that readers of committed",
        "records were held up, and until all was whole again:",
        "",
        "| fault | struck | stood still | promised | held up | whole again |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
        *(_kind(kind, found) for kind in FAULTS),
        "",
        "The run with most faults: hand-overs accepted a second above, records that wait before each step below;",
        "a band is a fault, until it is mended (dark) and until all is whole again (light):",
        "",
        "![Load, faults and recovery over time](pictures/chaos.svg)",
        "",
        END,
    ]
    return "\n".join(lines)


def _run(run: Mapping[str, Any]) -> str:
    anomalies = ", ".join(f"{kind} {count}" for kind, count in run["anomalies"].items())
    cells = [run["history"][:10], f"{run['minutes']:.1f}", run["seed"], len(run["faults"]), anomalies or 0]
    cells += [f"{run['counts']['batches_committed']:,}", run["counts"]["load_average"]]
    return f"| {' | '.join(map(str, cells))} |"


def _kind(kind: str, found: figures.Figures) -> str:
    of = found["recovery"].get(kind, {})
    limit = f"{of['limit_s']:g} s: {of['within']} of {of['measured']}" if "limit_s" in of else ""
    spreads = [_spread(of.get(name)) for name in ("without_restore_s", "held_up_s", "whole_again_s")]
    return (
        f"| {kind} | {found['faults'].get(kind, 0)} | {spreads[0]} | {limit} | {spreads[1]} | {spreads[2]} |"
    )


def _spread(spread: Mapping[str, float] | None) -> str:
    return f"{spread['median']:.1f}, {spread['max']:.1f}" if spread else ""


if __name__ == "__main__":
    sys.exit(main())
