"""One run as pictures (SVG) of a few minutes each: load above, what waits below, faults as bands over both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

WIDTH: Final = 1_120
LEFT: Final = 46
RIGHT: Final = 76
#: Height of the labels of faults, of the load, of what waits, and of the axis.
NAMES, LOAD, WAITING, AXIS = 134, 70, 170, 22
GAP: Final = 14
HEIGHT: Final = NAMES + LOAD + GAP + WAITING + AXIS
#: Of a file of its own; a page has its style for all.
STYLE: Final = (
    "<style>text { font: 11px system-ui, sans-serif; fill: #6a7680; }</style>"
    '<rect width="100%" height="100%" fill="#fff"/>'
)
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

#: What one picture has room for: the names of so many faults can be read.
STRIP_S: Final = 360.0

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Strip:
    """A part of a run, in seconds from its beginning, and where these are in the picture of it."""

    begin_s: float
    end_s: float

    def x(self, at_s: float) -> float:
        """What is before or after it is at its edge."""
        inside = min(max(at_s, self.begin_s), self.end_s) - self.begin_s
        return round(LEFT + (WIDTH - LEFT - RIGHT) * inside / (self.end_s - self.begin_s), 1)

    def has(self, at_s: float) -> bool:
        """Whether it is in here."""
        return self.begin_s <= at_s <= self.end_s


def picture(events: Sequence[Event]) -> str:
    """SVG elements, one below the other and to one scale; a run that ended early is drawn as far as it came.

    What is handed over at once when the last fault is over isn't drawn: beside it all else would be flat.
    """
    return "".join(_strips(events, lambda number: "")) or "<p>Too short to be drawn.</p>"


def poster(events: Sequence[Event]) -> str | None:
    """The same as a file of its own; None for a run that is too short."""
    drawn = _strips(events, lambda number: f'y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}"')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(drawn) * HEIGHT}">{STYLE}'
    return f"{head}{''.join(drawn)}</svg>\n" if drawn else None


def _strips(events: Sequence[Event], placed: Callable[[int], str]) -> list[str]:
    faults = [event for event in events if event["event"] in ("recovered", "not-recovered")]
    end_s = max((event["recovered_s"] for event in faults), default=math.inf)
    samples = [event for event in events if event["event"] == "sample" and event["at_s"] <= end_s]
    if len(samples) < 2:
        return []
    end_s = max(1.0, samples[-1]["at_s"], *(event["recovered_s"] for event in faults))
    number = math.ceil(end_s / STRIP_S)
    strips = [Strip(end_s * each / number, end_s * (each + 1) / number) for each in range(number)]
    return [_drawn(strip, faults, samples, placed(at)) for at, strip in enumerate(strips)]


def _drawn(strip: Strip, faults: Sequence[Event], samples: Sequence[Event], place: str) -> str:
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {place} role="img" aria-label="load, faults, recovery over time">',
        *_faults(strip, faults),
        *_load(strip, samples),
        *_waiting(strip, samples),
        *_axis(strip),
        *_legend(),
        "</svg>",
    ]
    return "".join(parts)


def _faults(strip: Strip, faults: Sequence[Event]) -> Iterable[str]:
    bottom = HEIGHT - AXIS
    for event in faults:
        if event["recovered_s"] < strip.begin_s or event["struck_s"] > strip.end_s:
            continue
        colour = FAMILIES[event["kind"].partition("-")[0]]
        struck, mended, whole = (strip.x(event[name]) for name in ("struck_s", "mended_s", "recovered_s"))
        yield _band(struck, max(mended, struck + 1), bottom, colour, 0.55)
        yield _band(mended, whole, bottom, colour, 0.16)
        if not strip.has(event["struck_s"]):
            continue
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


def _load(strip: Strip, samples: Sequence[Event]) -> Iterable[str]:
    """Hand-overs accepted a second; their square root, as all that waited is accepted at once when a broker is back."""
    rates = [
        (later["at_s"], (later["accepted"] - earlier["accepted"]) / (later["at_s"] - earlier["at_s"]))
        for earlier, later in itertools.pairwise(samples)
        if later["at_s"] > earlier["at_s"]
    ]
    most = max((rate for _, rate in rates), default=1.0) or 1.0
    base = NAMES + LOAD
    points = [
        (strip.x(at_s), base - LOAD * math.sqrt(rate / most)) for at_s, rate in rates if strip.has(at_s)
    ]
    yield from _frame(NAMES, LOAD, f"{most:.0f}/s")
    yield _line(points, "#333", 1.2)


def _waiting(strip: Strip, samples: Sequence[Event]) -> Iterable[str]:
    """Records before each step; their square root too."""
    top = NAMES + LOAD + GAP
    most = max((count for sample in samples for count in sample["left"].values()), default=1) or 1
    yield from _frame(top, WAITING, f"{most:,}")
    for step, colour in STEPS.items():
        points = [
            (
                strip.x(sample["at_s"]),
                top + WAITING * (1 - math.sqrt(sample["left"].get(step, 0) / most)),
            )
            for sample in samples
            if strip.has(sample["at_s"])
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


def _axis(strip: Strip) -> Iterable[str]:
    for minute in range(math.ceil(strip.begin_s / 60), int(strip.end_s // 60) + 1):
        x = strip.x(60 * minute)
        yield f'<text x="{x}" y="{HEIGHT - 6}" text-anchor="middle">{minute} min</text>'


def _legend() -> Iterable[str]:
    x = LEFT + 4
    for step, colour in STEPS.items():
        y = NAMES + LOAD + GAP + 14
        yield f'<rect x="{x}" y="{y - 8}" width="10" height="3" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y - 3}">{step}</text>'
        x += 28 + 7 * len(step)
