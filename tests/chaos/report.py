"""`python -m tests.chaos.report` publishes the figures in docs/reliability.md, docs/chaos.json, and a picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests import sections
from tests.chaos import figures
from tests.chaos.__main__ import FIGURES
from tests.chaos.faults import FAULTS
from tests.chaos.history import read_history
from tests.chaos.picture import svg_file
from tests.chaos.proxy import ROOT

BUILD: Final = ROOT / "build"
DOCUMENT: Final = ROOT / "docs" / "reliability.md"
PICTURE: Final = ROOT / "docs" / "pictures" / "chaos.svg"
BEGIN: Final = "<!-- chaos: written by `make chaos-report` -->"
END: Final = "<!-- chaos: end -->"


def main() -> int:
    """Publish the figures. Return the exit code: 0, or 1 if there is no run of the current code."""
    best = figures.load_best(BUILD / FIGURES)
    if not figures.injected_counts(best, figures.code_digest()):
        sys.stderr.write(f"no run of the current code in {BUILD / FIGURES}: run `make chaos` first\n")
        return 1
    figures.save(figures.PUBLISHED, best)
    sections.replace_section(DOCUMENT, section(best))
    draw(best, BUILD / "chaos")
    return 0


def draw(published: figures.Figures, histories: Path) -> None:
    """Draw the run with most faults, if its history is on this machine; otherwise the picture stays as it is."""
    longest = max(published["runs"], key=lambda run: (run["code"] == published["code"], len(run["faults"])))
    file = histories / longest["history"]
    svg = svg_file(read_history(file)) if file.is_file() else None
    if svg:
        PICTURE.write_text(svg, "utf-8")


def section(published: figures.Figures) -> str:
    """Return the section of the document: the runs that count, and the times of each kind of fault."""
    anomalies = sum(published["anomalies"].values())
    runs = [run for run in published["runs"] if run["code"] == published["code"]]
    summary = (
        f"{sum(published['faults'].values())} faults, {anomalies} anomalies in {published['minutes']:.0f} minutes of"
        f" faults (runs: {published['runs_counted']}), {published['submissions']:,} submissions,"
        f" {published['batches_committed']:,} batches committed; commit {published['commit']},"
        f" code {published['code']}."
    )
    lines = [
        BEGIN,
        "",
        summary,
        "",
        "| run | minutes | seed | faults | anomalies | batches committed | load average |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_run_row(run) for run in runs),
        "",
        "Times in seconds (median, longest). *Stall*: how long the slowest partition was not processed although it",
        "had records, without its restore. *Promised*: the limit of the stall, and how many faults stayed within it.",
        "*Readers blocked*: how long an open transaction blocked readers of committed records. *Recovery*: from the",
        "healing until all processes ran and all records were processed.",
        "",
        "| fault | injected | stall | promised | readers blocked | recovery |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
        *(_kind_row(kind, published) for kind in FAULTS),
        "",
        "The run with most faults. Above: submissions acknowledged per second. Below: unprocessed records by step. A",
        "band is a fault, dark until it is healed and light until the mesh has recovered:",
        "",
        "![Load, faults and recovery over time](pictures/chaos.svg)",
        "",
        END,
    ]
    return "\n".join(lines)


def _run_row(run: Mapping[str, Any]) -> str:
    anomalies = ", ".join(f"{kind} {count}" for kind, count in run["anomalies"].items())
    cells = [run["history"][:10], f"{run['minutes']:.1f}", run["seed"], len(run["faults"]), anomalies or 0]
    cells += [f"{run['counts']['batches_committed']:,}", run["counts"]["load_average"]]
    return f"| {' | '.join(map(str, cells))} |"


def _kind_row(kind: str, published: figures.Figures) -> str:
    recovery = published["recovery"].get(kind, {})
    limit = (
        f"{recovery['limit_s']:g} s: {recovery['within']} of {recovery['measured']}"
        if "limit_s" in recovery
        else ""
    )
    stall, blocked, recovered = (
        _median_and_max(recovery.get(name))
        for name in ("stall_without_restore_s", "readers_blocked_s", "recovery_s")
    )
    return f"| {kind} | {published['faults'].get(kind, 0)} | {stall} | {limit} | {blocked} | {recovered} |"


def _median_and_max(seconds: Mapping[str, float] | None) -> str:
    return f"{seconds['median']:.1f}, {seconds['max']:.1f}" if seconds else ""


if __name__ == "__main__":
    sys.exit(main())
