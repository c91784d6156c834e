"""The results section of docs/performance.md, generated from a run, with its pictures."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from tests import sections
from tests.bench import picture
from tests.bench.figures import Figure
from tests.bench.side import ROOT

DOCUMENT: Final = ROOT / "docs" / "performance.md"
PICTURES: Final = ROOT / "docs" / "pictures"
BEGIN: Final = "<!-- bench: written by `make bench` -->"
END: Final = "<!-- bench: end -->"


def write(figures: Sequence[Figure], rounds: int) -> None:
    """Replace the section in the document, and write its pictures."""
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "bench-goals.svg").write_text(picture.ratios(figures), encoding="utf-8")
    (PICTURES / "bench-cpu.svg").write_text(picture.cpu(figures), encoding="utf-8")
    sections.replace_section(DOCUMENT, section(figures, rounds))


def section(figures: Sequence[Figure], rounds: int) -> str:
    """Return the section: date, commit and machine, the table, the pictures."""
    lines = [
        BEGIN,
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}; {machine()}; medians of {rounds} rounds.",
        "",
        "| figure | value | compared with | unit | ratio | goal | met |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
        *(_row(figure) for figure in figures),
        "",
        *(f"- {figure.name}: {figure.note}." for figure in figures if figure.note),
        *([""] if any(figure.note for figure in figures) else []),
        "![Ratios beside their goals](pictures/bench-goals.svg)",
        "",
        "![CPU per record](pictures/bench-cpu.svg)",
        "",
        END,
    ]
    return "\n".join(lines)


def machine() -> str:
    """Return what the figures depend on: cores, memory, load, Python."""
    load = os.getloadavg()[0]
    memory_gb = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory_gb:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}, load at the end {load:.1f}"
    )


def commit() -> str:
    """Return the measured commit, followed by `+` if files differ from it."""
    changed = _git("status", "--porcelain", "--", ":!docs")
    return _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def _row(figure: Figure) -> str:
    columns = figure.as_json()
    met = {True: "yes", False: "**no**", None: ""}[figure.is_met]
    compared_with = "not available" if figure.is_missing else _number(columns["compared_with"])
    cells = [
        figure.name,
        _number(columns["value"]),
        compared_with,
        figure.unit,
        _number(columns["ratio"]),
        columns["goal"] or "",
        met,
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    process = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return process.stdout.strip()
