"""Pictures (SVG) of a run: ratios beside their goals, and CPU of each side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from tests.bench.figures import Figure

WIDTH: Final = 900
#: Where bars begin, and where the longest one ends.
LEFT: Final = 430
RIGHT: Final = 820
ROW: Final = 26
#: A longer name has two lines.
NAME_LETTERS: Final = 66
OURS, THEIRS, MET, MISSED, LINE = "#2f6db5", "#b9c4cf", "#2e8b57", "#c2571a", "#333"


def ratios(found: Sequence[Figure]) -> str:
    """A bar for each figure with a goal: how far it is from it (1 on the axis: the goal itself)."""
    rows = [(each, each.goal, each.ratio) for each in found if each.goal and each.met is not None]
    parts: list[str] = []
    scale = (RIGHT - LEFT) / 2
    for place, (figure, goal, ratio) in enumerate(rows):
        value = figure.ours if ratio is None else ratio
        share = min(2.0, (goal.limit / value if goal.at_most else value / goal.limit) if value else 0.0)
        y = place * ROW
        colour = MET if figure.met else MISSED
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
    return _drawn(bottom + 20, "ratios beside their goals", parts)


def cpu(found: Sequence[Figure]) -> str:
    """Two bars for each figure in µs: ours above theirs."""
    rows = [each for each in found if each.unit.startswith("µs/") and each.ours is not None]
    most = max((value for each in rows for value in (each.ours, each.theirs) if value), default=1.0)
    parts: list[str] = []
    for place, figure in enumerate(rows):
        y = place * ROW
        parts += _row(
            y, figure.name, f"{figure.ours:.1f}" + (f" / {figure.theirs:.1f}" if figure.theirs else "")
        )
        for value, colour, down in ((figure.ours, OURS, 4), (figure.theirs, THEIRS, 13)):
            width = (RIGHT - LEFT) * (value or 0) / most
            parts.append(f'<rect x="{LEFT}" y="{y + down}" width="{width:.1f}" height="8" fill="{colour}"/>')
    return _drawn(len(rows) * ROW + 6, "CPU a record in µs, ours above theirs", parts)


def _row(y: int, name: str, told: str) -> Iterator[str]:
    lines = textwrap.wrap(name, NAME_LETTERS)
    for number, line in enumerate(lines):
        down = 17 + 12 * number - 6 * (len(lines) - 1)
        yield f'<text x="{LEFT - 8}" y="{y + down}" text-anchor="end">{escape(line)}</text>'
    yield f'<text x="{RIGHT + 6}" y="{y + 17}">{escape(told)}</text>'


def _drawn(height: int, label: str, parts: Sequence[str]) -> str:
    frame = f'width="{WIDTH + 60}" height="{height + 8}"'
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -4 {WIDTH + 60} {height + 8}" role="img" '
        f'aria-label="{escape(label)}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([begin, f'<rect x="0" y="-4" {frame} fill="#fff"/>', *parts, "</svg>", ""])
