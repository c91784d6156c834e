"""The section "Beside others" of docs/performance.md, made of a run, with its pictures."""

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


def write(found: Sequence[Figure], rounds: int) -> None:
    """Puts the section in place of the one before, and draws its pictures."""
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "bench-goals.svg").write_text(picture.ratios(found), encoding="utf-8")
    (PICTURES / "bench-cpu.svg").write_text(picture.cpu(found), encoding="utf-8")
    sections.put(DOCUMENT, section(found, rounds))


def section(found: Sequence[Figure], rounds: int) -> str:
    """When and on what, the table, the pictures."""
    lines = [
        BEGIN,
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}; {machine()}; medians of {rounds} rounds.",
        "",
        "| what | ours | theirs | unit | ratio | goal | met |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
        *(_row(each) for each in found),
        "",
        *(f"- {each.name}: {each.note}." for each in found if each.note),
        *([""] if any(each.note for each in found) else []),
        "![Ratios beside their goals](pictures/bench-goals.svg)",
        "",
        "![CPU a record](pictures/bench-cpu.svg)",
        "",
        END,
    ]
    return "\n".join(lines)


def machine() -> str:
    """Cores, memory, load, Python: what the figures depend on."""
    load = os.getloadavg()[0]
    memory_gb = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory_gb:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}, load at the end {load:.1f}"
    )


def commit() -> str:
    """What was measured; with `+` where files differ from it."""
    changed = _git("status", "--porcelain", "--", ":!docs")
    return _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def _row(figure: Figure) -> str:
    told = figure.as_json()
    met = {True: "yes", False: "**no**", None: ""}[figure.met]
    theirs = "not to be had" if figure.missing else _number(told["theirs"])
    cells = [
        figure.name,
        _number(told["ours"]),
        theirs,
        figure.unit,
        _number(told["ratio"]),
        told["goal"] or "",
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


def _git(*words: str) -> str:
    ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return ended.stdout.strip()
