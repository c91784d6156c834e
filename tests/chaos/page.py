"""build/chaos.html: all runs on one page, the last ones drawn as load, faults and recovery over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

from infra.printing import html_text
from tests.chaos.history import read_history
from tests.chaos.picture import svg_elements

TEMPLATE: Final = Path(__file__).with_name("page.html")
#: Number of the last runs that are drawn.
PICTURES_MAX: Final = 6

Figures = Mapping[str, Any]


def page(figures: Figures, histories: Path) -> str:
    """Return the self-contained page; `histories` is the folder with the events of the runs."""
    runs = [run for run in figures["runs"] if run["code"] == figures["code"]]
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        summary=_summary(figures),
        summary_class="failed" if figures["anomalies"] else "passed",
        totals=_totals(figures),
        kinds=_kinds(figures),
        anomalies=_anomalies(runs),
        pictures="".join(_picture(run, histories) for run in reversed(runs[-PICTURES_MAX:])),
        runs=_runs(reversed(figures["runs"])),
    )


def _summary(figures: Figures) -> str:
    anomalies = sum(figures["anomalies"].values())
    faults = sum(figures["faults"].values())
    return f"{anomalies:,} anomalies" if anomalies else f"{faults:,} faults, no anomaly"


def _totals(figures: Figures) -> str:
    totals = {
        "runs": figures["runs_counted"],
        "minutes with faults": figures["minutes"],
        "faults": sum(figures["faults"].values()),
        "kinds of faults": len(figures["faults"]),
        "submissions acknowledged": figures["submissions"],
        "batches committed": figures["batches_committed"],
    }
    return "".join(
        f"<div><b>{value:,}</b><span>{html_text(name)}</span></div>" for name, value in totals.items()
    )


def _kinds(figures: Figures) -> str:
    rows = []
    for kind, count in figures["faults"].items():
        recovery = figures["recovery"][kind]
        limit = (
            f"{recovery['within']} of {recovery['measured']} within {recovery['limit_s']:g} s"
            if "limit_s" in recovery
            else ""
        )
        names = ("stall_s", "stall_without_restore_s", "readers_blocked_s", "recovery_s")
        times = [cell for name in names for cell in _median_and_max(recovery[name])]
        rows.append([kind, str(count), *times, limit])
    return _table_rows(rows)


def _median_and_max(seconds: Mapping[str, float] | None) -> tuple[str, str]:
    return (f"{seconds['median']:.1f}", f"{seconds['max']:.1f}") if seconds else ("–", "–")


def _anomalies(runs: Sequence[Figures]) -> str:
    rows = [
        [run["history"], kind, str(count), "; ".join(run["examples"][kind])]
        for run in runs
        for kind, count in run["anomalies"].items()
    ]
    head = "<tr><th>run</th><th>kind</th><th>count</th><th>examples</th></tr>"
    return f"<table>{head}{_table_rows(rows)}</table>" if rows else "<p>None.</p>"


def _picture(run: Figures, histories: Path) -> str:
    file = histories / run["history"]
    if not file.is_file():
        return ""
    title = f"{run['history'].removesuffix('.jsonl')}: {run['minutes']:g} minutes, seed {run['seed']}"
    return f"<h3>{html_text(title)}</h3>{svg_elements(read_history(file))}"


def _runs(runs: Iterable[Figures]) -> str:
    return _table_rows(
        [
            run["history"].removesuffix(".jsonl"),
            run["commit"],
            str(run["seed"]),
            f"{run['minutes']:g}",
            str(len(run["faults"])),
            f"{run['counts'].get('submissions', 0):,}",
            f"{run['counts'].get('batches_committed', 0):,}",
            f"{run['counts'].get('records_aborted', 0):,}",
            f"{run['counts'].get('load_average', 0):g}",
            str(sum(run["anomalies"].values())),
        ]
        for run in runs
    )


def _table_rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
