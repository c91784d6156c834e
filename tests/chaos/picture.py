"""A run as pictures (SVG) of a few minutes each: load above, unprocessed records below, faults as bands over both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.printing import html_text

WIDTH: Final = 1_120
LEFT: Final = 46
RIGHT: Final = 76
#: Heights of the labels of faults, of the load, of the unprocessed records, and of the time axis.
LABELS, LOAD, REMAINING, AXIS = 134, 70, 170, 22
GAP: Final = 14
HEIGHT: Final = LABELS + LOAD + GAP + REMAINING + AXIS
#: For a file of its own; the page has one style for all pictures.
STYLE: Final = (
    "<style>text { font: 11px system-ui, sans-serif; fill: #6a7680; }</style>"
    '<rect width="100%" height="100%" fill="#fff"/>'
)
STEP_COLOURS: Final[Mapping[str, str]] = {
    "intake": "#2f6db5",
    "household": "#c2571a",
    "fan-out": "#7a4fa3",
    "conversion": "#2e8b57",
    "sink": "#b03060",
}
#: By the first word of the kind of a fault.
FAULT_COLOURS: Final[Mapping[str, str]] = {
    "worker": "#e0a100",
    "broker": "#d1495b",
    "brokers": "#4f8fc0",
    "database": "#6b8e23",
    "registry": "#8a8a8a",
    "adoption": "#7b5ea7",
}

#: Longest time in one picture: the labels of more faults would overlap.
STRIP_S: Final = 360.0

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Strip:
    """The part of a run in one picture, in seconds since the start of the run."""

    begin_s: float
    end_s: float

    def x(self, at_s: float) -> float:
        """Return the horizontal position of a moment; of one outside the strip, that of the nearer edge."""
        inside_s = min(max(at_s, self.begin_s), self.end_s) - self.begin_s
        return round(LEFT + (WIDTH - LEFT - RIGHT) * inside_s / (self.end_s - self.begin_s), 1)

    def contains(self, at_s: float) -> bool:
        """Return whether a moment is in the strip."""
        return self.begin_s <= at_s <= self.end_s


def svg_elements(events: Sequence[Event]) -> str:
    """Return SVG elements, one below the other and to one scale; a run that ended early is drawn up to its end.

    Samples after the last fault are left out: the rest of the submissions is sent at once then, and beside it
    everything else would be flat.
    """
    return "".join(_strips(events, lambda number: "")) or "<p>Too short to be drawn.</p>"


def svg_file(events: Sequence[Event]) -> str | None:
    """Return the same pictures as one SVG file; None if the run is too short."""
    strips = _strips(events, lambda number: f'y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}"')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(strips) * HEIGHT}">{STYLE}'
    return f"{head}{''.join(strips)}</svg>\n" if strips else None


def _strips(events: Sequence[Event], attributes: Callable[[int], str]) -> list[str]:
    """Return an SVG element per strip; `attributes` gives further attributes by the strip's number."""
    faults = [event for event in events if event["event"] in ("recovered", "not-recovered")]
    end_s = max((event["recovered_s"] for event in faults), default=math.inf)
    samples = [event for event in events if event["event"] == "sample" and event["at_s"] <= end_s]
    if len(samples) < 2:
        return []
    end_s = max(1.0, samples[-1]["at_s"], *(event["recovered_s"] for event in faults))
    count = math.ceil(end_s / STRIP_S)
    strips = [Strip(end_s * number / count, end_s * (number + 1) / count) for number in range(count)]
    return [_svg(strip, faults, samples, attributes(number)) for number, strip in enumerate(strips)]


def _svg(strip: Strip, faults: Sequence[Event], samples: Sequence[Event], attributes: str) -> str:
    label = "load, faults, recovery over time"
    elements = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {attributes} role="img" aria-label="{label}">',
        *_faults(strip, faults),
        *_load(strip, samples),
        *_remaining(strip, samples),
        *_axis(strip),
        *_legend(),
        "</svg>",
    ]
    return "".join(elements)


def _faults(strip: Strip, faults: Sequence[Event]) -> Iterable[str]:
    bottom = HEIGHT - AXIS
    for event in faults:
        if event["recovered_s"] < strip.begin_s or event["injected_s"] > strip.end_s:
            continue
        colour = FAULT_COLOURS[event["kind"].partition("-")[0]]
        injected, healed, recovered = (
            strip.x(event[name]) for name in ("injected_s", "healed_s", "recovered_s")
        )
        yield _band(injected, max(healed, injected + 1), bottom, colour, 0.55)
        yield _band(healed, recovered, bottom, colour, 0.16)
        if not strip.contains(event["injected_s"]):
            continue
        stall_s = event["stall_s"]
        effect = f"stalled {stall_s} s" if stall_s is not None else "no records to process"
        title = f"{event['kind']} {event['target']} {event['detail']}: {effect}"
        yield (
            f'<text transform="translate({injected + 7},{LABELS - 4}) rotate(-60)">{html_text(event["kind"])}'
            f"<title>{html_text(title)}</title></text>"
        )


def _band(left: float, right: float, bottom: float, colour: str, opacity: float) -> str:
    return (
        f'<rect x="{left}" y="{LABELS}" width="{max(0.0, right - left):.1f}" height="{bottom - LABELS}" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )


def _load(strip: Strip, samples: Sequence[Event]) -> Iterable[str]:
    """Draw submissions acknowledged per second.

    As square roots: when a broker is back, everything that waited for it is acknowledged at once.
    """
    rates = [
        (
            later["at_s"],
            (later["acknowledged"] - earlier["acknowledged"]) / (later["at_s"] - earlier["at_s"]),
        )
        for earlier, later in itertools.pairwise(samples)
        if later["at_s"] > earlier["at_s"]
    ]
    highest = max((rate for _, rate in rates), default=1.0) or 1.0
    base = LABELS + LOAD
    points = [
        (strip.x(at_s), base - LOAD * math.sqrt(rate / highest))
        for at_s, rate in rates
        if strip.contains(at_s)
    ]
    yield from _frame(LABELS, LOAD, f"{highest:.0f}/s")
    yield _line(points, "#333", 1.2)


def _remaining(strip: Strip, samples: Sequence[Event]) -> Iterable[str]:
    """Draw unprocessed records by step, as square roots too."""
    top = LABELS + LOAD + GAP
    highest = max((count for sample in samples for count in sample["remaining"].values()), default=1) or 1
    yield from _frame(top, REMAINING, f"{highest:,}")
    for step, colour in STEP_COLOURS.items():
        points = [
            (
                strip.x(sample["at_s"]),
                top + REMAINING * (1 - math.sqrt(sample["remaining"].get(step, 0) / highest)),
            )
            for sample in samples
            if strip.contains(sample["at_s"])
        ]
        yield _line(points, colour, 1.4)


def _frame(top: float, height: float, highest: str) -> Iterable[str]:
    for y in (top, top + height):
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#d8dee3"/>'
    yield f'<text x="{LEFT - 6}" y="{top + 9}" text-anchor="end">{html_text(highest)}</text>'
    yield f'<text x="{LEFT - 6}" y="{top + height}" text-anchor="end">0</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    coordinates = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{coordinates}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _axis(strip: Strip) -> Iterable[str]:
    for minute in range(math.ceil(strip.begin_s / 60), int(strip.end_s // 60) + 1):
        x = strip.x(60 * minute)
        yield f'<text x="{x}" y="{HEIGHT - 6}" text-anchor="middle">{minute} min</text>'


def _legend() -> Iterable[str]:
    x = LEFT + 4
    for step, colour in STEP_COLOURS.items():
        y = LABELS + LOAD + GAP + 14
        yield f'<rect x="{x}" y="{y - 8}" width="10" height="3" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y - 3}">{step}</text>'
        x += 28 + 7 * len(step)
