"""Pictures (SVG) of a run: ratios beside their goals, and the CPU of each side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from infra.printing import html_text
from tests.bench.figures import Figure

WIDTH: Final = 900
#: Horizontal positions at which bars begin, and at which the longest bar ends.
LEFT: Final = 430
RIGHT: Final = 820
ROW: Final = 26
#: Maximum letters of a line of a name.
NAME_LETTERS: Final = 66
VALUE, COMPARED_WITH, MET, MISSED, LINE = "#2f6db5", "#b9c4cf", "#2e8b57", "#c2571a", "#333"


def ratios(figures: Sequence[Figure]) -> str:
    """Return a picture with a bar per figure that has a goal; the bar ends at the line if the goal is just met."""
    rows = [
        (figure, figure.goal, figure.ratio) for figure in figures if figure.goal and figure.is_met is not None
    ]
    parts: list[str] = []
    scale = (RIGHT - LEFT) / 2
    for index, (figure, goal, ratio) in enumerate(rows):
        value = figure.value if ratio is None else ratio
        share = min(2.0, (goal.limit / value if goal.at_most else value / goal.limit) if value else 0.0)
        y = index * ROW
        colour = MET if figure.is_met else MISSED
        parts += _row(y, figure.name, f"{value:.2f} ({goal})")
        parts.append(
            f'<rect x="{LEFT}" y="{y + 5}" width="{share * scale:.1f}" height="14" fill="{colour}"/>'
        )
    goal_at = LEFT + scale
    bottom = len(rows) * ROW
    parts.append(
        f'<line x1="{goal_at}" x2="{goal_at}" y1="0" y2="{bottom}" stroke="{LINE}" stroke-dasharray="3 3"/>'
    )
    parts.append(f'<text x="{goal_at}" y="{bottom + 14}" text-anchor="middle">the goal</text>')
    return _document(bottom + 20, "ratios beside their goals", parts)


def cpu(figures: Sequence[Figure]) -> str:
    """Return a picture with two bars per figure in µs: the value above what it is compared with."""
    rows = [figure for figure in figures if figure.unit.startswith("µs/") and figure.value is not None]
    longest = max(
        (value for figure in rows for value in (figure.value, figure.compared_with) if value), default=1.0
    )
    parts: list[str] = []
    for index, figure in enumerate(rows):
        y = index * ROW
        parts += _row(
            y,
            figure.name,
            f"{figure.value:.1f}" + (f" / {figure.compared_with:.1f}" if figure.compared_with else ""),
        )
        for value, colour, down in ((figure.value, VALUE, 4), (figure.compared_with, COMPARED_WITH, 13)):
            width = (RIGHT - LEFT) * (value or 0) / longest
            parts.append(f'<rect x="{LEFT}" y="{y + down}" width="{width:.1f}" height="8" fill="{colour}"/>')
    return _document(len(rows) * ROW + 6, "CPU per record in µs, the mesh above the alternative", parts)


def _row(y: int, name: str, value: str) -> Iterator[str]:
    lines = textwrap.wrap(name, NAME_LETTERS)
    for number, line in enumerate(lines):
        down = 17 + 12 * number - 6 * (len(lines) - 1)
        yield f'<text x="{LEFT - 8}" y="{y + down}" text-anchor="end">{html_text(line)}</text>'
    yield f'<text x="{RIGHT + 6}" y="{y + 17}">{html_text(value)}</text>'


def _document(height: int, label: str, parts: Sequence[str]) -> str:
    frame = f'width="{WIDTH + 60}" height="{height + 8}"'
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -4 {WIDTH + 60} {height + 8}" role="img" '
        f'aria-label="{html_text(label)}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([begin, f'<rect x="0" y="-4" {frame} fill="#fff"/>', *parts, "</svg>", ""])
