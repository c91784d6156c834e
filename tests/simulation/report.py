"""The section "Simulation" of docs/reliability.md, made of build/simulate.json."""

from __future__ import annotations

from typing import Final

from tests import sections
from tests.simulation.campaign import ROOT, Count
from tests.simulation.faults import KINDS, STEPS, steps_of

DOCUMENT: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- simulation: written by `make simulate-report` -->"
END: Final = "<!-- simulation: end -->"


def section(count: Count) -> str:
    """The figures and the table of faults."""
    each_ms = 1_000 * count.cpu_s / max(1, count.histories + count.passed_over)
    figures = [f"{count.histories:,}", f"{count.findings}", f"{count.notices:,}", f"{count.struck:,}"]
    figures += [f"{count.last:%Y-%m-%d}", count.commit, count.tree, f"{each_ms:.0f} ms"]
    lines = [
        BEGIN,
        "",
        "| histories | findings | notices | faults that struck | until | commit | tree | CPU a history |",
        "| ---: | ---: | ---: | ---: | --- | --- | --- | ---: |",
        "| " + " | ".join(figures) + " |",
        "",
        *(
            f"Before it, until {each.last:%Y-%m-%d}: {each.histories:,} histories of tree {each.tree}"
            f" ({each.commit}), {each.findings} findings."
            for each in count.before
        ),
        *([""] if count.before else []),
        f"In {count.set_aside:,} of them something was set aside: {count.letters:,} letters were tried again.",
        "",
        "Which fault struck at which call, and how often:",
        "",
        "| fault | calls |",
        "| --- | --- |",
        *(_row(kind, calls, count.faults.get(kind, {})) for kind, calls in KINDS.items()),
        "",
        "And of which step the worker was (– where the fault has nothing to strike):",
        "",
        f"| fault | {' | '.join(STEPS)} |",
        f"| --- |{' ---: |' * len(STEPS)}",
        *(_by_step(kind, count.steps.get(kind, {})) for kind in KINDS),
        "",
        END,
    ]
    return "\n".join(lines)


def write(count: Count) -> None:
    """Puts the section in place of the one before."""
    sections.put(DOCUMENT, section(count))


def _by_step(kind: str, struck: dict[str, int]) -> str:
    cells = [f"{struck.get(step, 0):,}" if step in steps_of(kind) else "–" for step in STEPS]
    return f"| {kind} | {' | '.join(cells)} |"


def _row(kind: str, calls: tuple[str, ...], struck: dict[str, int]) -> str:
    return f"| {kind} | {', '.join(f'{call} {struck.get(call, 0):,}' for call in calls)} |"
