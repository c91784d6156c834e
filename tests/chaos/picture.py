"""One run as a picture (SVG): load above, what waits before each step below, faults as bands over both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 1_120
LEFT: Final = 46
RIGHT: Final = 8
#: Height of the labels of faults, of the load, of what waits, and of the axis.
NAMES, LOAD, WAITING, AXIS = 124, 70, 170, 22
GAP: Final = 14
STEPS: Final[Mapping[str, str]] = {
    "intake": "#2f6db5",
    "household": "#c2571a",
    "fan-out": "#7a4fa3",
    "conversion": "#2e8b57",
    "sink": "#b03060",
}
FAMILIES: Final[Mapping[str, str]] = {
    "worker": "#e0a100",
    "broker": "#d1495b",
    "brokers": "#4f8fc0",
    "database": "#6b8e23",
    "registry": "#8a8a8a",
}

Event = Mapping[str, Any]


def picture(events: Sequence[Event]) -> str:
    """An SVG element of its own; a run that ended early is drawn as far as it came."""
    samples = [event for event in events if event["event"] == "sample"]
    if len(samples) < 2:
        return "<p>Too short to be drawn.</p>"
    end_s = max(1.0, *(event.get("recovered_s", event["at_s"]) for event in events))
    height = NAMES + LOAD + GAP + WAITING + AXIS
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="load, faults and recovery over time">',
        *_faults(events, end_s),
        *_load(samples, end_s),
        *_waiting(samples, end_s),
        *_axis(end_s, height),
        *_legend(),
        "</svg>",
    ]
    return "".join(parts)


def _x(at_s: float, end_s: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * at_s / end_s, 1)


def _faults(events: Sequence[Event], end_s: float) -> Iterable[str]:
    bottom = NAMES + LOAD + GAP + WAITING
    for event in events:
        if event["event"] not in ("recovered", "not-recovered"):
            continue
        colour = FAMILIES[event["kind"].partition("-")[0]]
        struck, mended, whole = (_x(event[name], end_s) for name in ("struck_s", "mended_s", "recovered_s"))
        yield _band(struck, max(mended, struck + 1), bottom, colour, 0.55)
        yield _band(mended, whole, bottom, colour, 0.16)
        still = event["stood_still_s"]
        told = f"{event['kind']} {event['target']} {event['detail']}: " + (
            f"stood still {still} s" if still is not None else "nothing to do"
        )
        yield (
            f'<text transform="translate({struck + 7},{NAMES - 4}) rotate(-60)">{escape(event["kind"])}'
            f"<title>{escape(told)}</title></text>"
        )


def _band(left: float, right: float, bottom: float, colour: str, opacity: float) -> str:
    return (
        f'<rect x="{left}" y="{NAMES}" width="{max(0.0, right - left):.1f}" height="{bottom - NAMES}" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )


def _load(samples: Sequence[Event], end_s: float) -> Iterable[str]:
    """Hand-overs accepted a second."""
    rates = [
        (later["at_s"], (later["accepted"] - earlier["accepted"]) / (later["at_s"] - earlier["at_s"]))
        for earlier, later in itertools.pairwise(samples)
        if later["at_s"] > earlier["at_s"]
    ]
    most = max((rate for _, rate in rates), default=1.0) or 1.0
    base = NAMES + LOAD
    points = [(_x(at_s, end_s), base - LOAD * rate / most) for at_s, rate in rates]
    yield from _frame(NAMES, LOAD, f"{most:.0f}/s")
    yield _line(points, "#333", 1.2)


def _waiting(samples: Sequence[Event], end_s: float) -> Iterable[str]:
    """Records before each step; their square root, so that few are seen beside many."""
    top = NAMES + LOAD + GAP
    most = max((count for sample in samples for count in sample["left"].values()), default=1) or 1
    yield from _frame(top, WAITING, f"{most:,}")
    for step, colour in STEPS.items():
        points = [
            (
                _x(sample["at_s"], end_s),
                top + WAITING * (1 - math.sqrt(sample["left"].get(step, 0) / most)),
            )
            for sample in samples
        ]
        yield _line(points, colour, 1.4)


def _frame(top: float, height: float, most: str) -> Iterable[str]:
    for y in (top, top + height):
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#d8dee3"/>'
    yield f'<text x="{LEFT - 6}" y="{top + 9}" text-anchor="end">{escape(most)}</text>'
    yield f'<text x="{LEFT - 6}" y="{top + height}" text-anchor="end">0</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{told}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _axis(end_s: float, height: float) -> Iterable[str]:
    for minute in range(int(end_s // 60) + 1):
        x = _x(60 * minute, end_s)
        yield f'<text x="{x}" y="{height - 6}" text-anchor="middle">{minute} min</text>'


def _legend() -> Iterable[str]:
    x = LEFT + 4
    for step, colour in STEPS.items():
        y = NAMES + LOAD + GAP + 14
        yield f'<rect x="{x}" y="{y - 8}" width="10" height="3" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y - 3}">{step}</text>'
        x += 28 + 7 * len(step)
