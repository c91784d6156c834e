"""build/chaos.html: all runs on one page, the last one as a picture of load, faults and recovery over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from tests.chaos.history import read
from tests.chaos.picture import picture

TEMPLATE: Final = Path(__file__).with_name("page.html")
#: So many of the last runs are drawn.
PICTURES_MAX: Final = 6

Figures = Mapping[str, Any]


def page(figures: Figures, histories: Path) -> str:
    """The whole page, self-contained; `histories` is the folder of the runs' events."""
    runs = [run for run in figures["runs"] if run["code"] == figures["code"]]
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        verdict=_verdict(figures),
        verdict_class="wrong" if figures["anomalies"] else "right",
        totals=_totals(figures),
        kinds=_kinds(figures),
        anomalies=_anomalies(runs),
        pictures="".join(_run(run, histories) for run in reversed(runs[-PICTURES_MAX:])),
        runs=_runs(reversed(figures["runs"])),
    )


def _verdict(figures: Figures) -> str:
    found = sum(figures["anomalies"].values())
    faults = sum(figures["faults"].values())
    return f"{found:,} anomalies" if found else f"{faults:,} faults, no anomaly"


def _totals(figures: Figures) -> str:
    facts = {
        "runs": figures["runs_counted"],
        "minutes under faults": figures["minutes"],
        "faults": sum(figures["faults"].values()),
        "kinds of faults": len(figures["faults"]),
        "hand-overs accepted": figures["hand_overs"],
        "batches committed": figures["commits"],
    }
    return "".join(f"<div><b>{value:,}</b><span>{escape(name)}</span></div>" for name, value in facts.items())


def _kinds(figures: Figures) -> str:
    rows = []
    for kind, count in figures["faults"].items():
        of = figures["recovery"][kind]
        within = f"{of['within']} of {of['measured']} within {of['limit_s']:g} s" if "limit_s" in of else ""
        times = (of["stood_still_s"], of["without_restore_s"], of["held_up_s"], of["whole_again_s"])
        rows.append([kind, str(count), *(cell for time in times for cell in _spread(time)), within])
    return _rows(rows)


def _spread(found: Mapping[str, float] | None) -> tuple[str, str]:
    return (f"{found['median']:.1f}", f"{found['max']:.1f}") if found else ("–", "–")


def _anomalies(runs: Sequence[Figures]) -> str:
    found = [
        [run["history"], kind, str(count), "; ".join(run["examples"][kind])]
        for run in runs
        for kind, count in run["anomalies"].items()
    ]
    head = "<tr><th>run</th><th>kind</th><th>how many</th><th>for example</th></tr>"
    return f"<table>{head}{_rows(found)}</table>" if found else "<p>None.</p>"


def _run(run: Figures, histories: Path) -> str:
    file = histories / run["history"]
    if not file.is_file():
        return ""
    title = f"{run['history'].removesuffix('.jsonl')}: {run['minutes']:g} minutes, seed {run['seed']}"
    return f"<h3>{escape(title)}</h3>{picture(read(file))}"


def _runs(runs: Iterable[Figures]) -> str:
    return _rows(
        [
            run["history"].removesuffix(".jsonl"),
            run["commit"],
            str(run["seed"]),
            f"{run['minutes']:g}",
            str(len(run["faults"])),
            f"{run['counts'].get('hand_overs', 0):,}",
            f"{run['counts'].get('batches_committed', 0):,}",
            f"{run['counts'].get('records_aborted', 0):,}",
            f"{run['counts'].get('load_average', 0):g}",
            str(sum(run["anomalies"].values())),
        ]
        for run in runs
    )


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
