"""The section "Simulation" of docs/reliability.md, written from build/simulate.json."""

from __future__ import annotations

from typing import Final

from tests.sections import replace_section
from tests.simulation.campaign import ROOT, Count
from tests.simulation.faults import KINDS, STEPS, steps_of

DOCUMENT: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- simulation: written by `make simulate-report` -->"
END: Final = "<!-- simulation: end -->"


def section(count: Count) -> str:
    """Return the figures and the tables of faults."""
    cpu_ms = 1_000 * count.cpu_s / max(1, count.histories + count.skipped)
    figures = [f"{count.histories:,}", f"{count.findings}", f"{count.notices:,}", f"{count.injected:,}"]
    figures += [f"{count.last:%Y-%m-%d}", count.commit, count.tree, f"{cpu_ms:.0f} ms"]
    lines = [
        BEGIN,
        "",
        "| histories | findings | notices | injected faults | until | commit | digest of code | CPU per history |",
        "| ---: | ---: | ---: | ---: | --- | --- | --- | ---: |",
        "| " + " | ".join(figures) + " |",
        "",
        *(
            f"Earlier code, until {earlier.last:%Y-%m-%d}: {earlier.histories:,} histories of digest {earlier.tree}"
            f" ({earlier.commit}), {earlier.findings} findings."
            for earlier in count.earlier
        ),
        *([""] if count.earlier else []),
        f"{count.with_dead_letters:,} of the histories had dead letters: {count.dead_letters_retried:,} were retried.",
        "",
        "How often each fault was injected, by the call at which it was:",
        "",
        "| fault | calls |",
        "| --- | --- |",
        *(_row_by_call(kind, calls, count.faults.get(kind, {})) for kind, calls in KINDS.items()),
        "",
        "The same by the worker's step (– where the step makes no such call):",
        "",
        f"| fault | {' | '.join(STEPS)} |",
        f"| --- |{' ---: |' * len(STEPS)}",
        *(_row_by_step(kind, count.steps.get(kind, {})) for kind in KINDS),
        "",
        END,
    ]
    return "\n".join(lines)


def write(count: Count) -> None:
    """Replace the section in the document."""
    replace_section(DOCUMENT, section(count))


def _row_by_step(kind: str, numbers: dict[str, int]) -> str:
    cells = [f"{numbers.get(step, 0):,}" if step in steps_of(kind) else "–" for step in STEPS]
    return f"| {kind} | {' | '.join(cells)} |"


def _row_by_call(kind: str, calls: tuple[str, ...], numbers: dict[str, int]) -> str:
    return f"| {kind} | {', '.join(f'{call} {numbers.get(call, 0):,}' for call in calls)} |"
