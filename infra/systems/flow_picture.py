"""The picture of what flows: systems on the left, kinds of facts in the middle, domains on the right, as SVG.

Each box is a link to its rows in the tables below the picture, so it can be reached by keyboard. `data-lit` names what
is emphasized while the box is pointed at: the script of the page only adds and removes classes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal, NamedTuple

from infra.printing import html_text
from infra.systems.data_flows import ENROLMENT, Consequences, DataFlows, Fact, Flow
from schemas.systems import System

BOX_WIDTH: Final = 232
BOX_HEIGHT: Final = 42
ROW_HEIGHT: Final = 56
HEAD_HEIGHT: Final = 34
#: Space between two columns of boxes, for the lines, and between two lanes of dashed lines.
GAP: Final = 150
LANE: Final = 10
#: From where to where in a box dashed lines begin and end.
SLOTS: Final = (19, 41)
TEXT_MARGIN: Final = 10
TAG_WIDTH: Final = 62
#: Width of a Latin letter on average, as a multiple of the size of its font; bold ones of wide fonts included.
LATIN_EMS: Final = 0.68
FONT_MIN: Final = 9.0
#: The end of a dashed line.
TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
)
HEADS: Final = (
    ("Submitting systems", "提出元"),
    ("Kinds of facts", "事実の種類"),
    ("Receiving domains", "受領先"),
)

Side = Literal["from", "fact", "to"]


class Node(NamedTuple):
    """A box: its column, and the ID of the system or kind of fact."""

    side: Side
    id: str


@dataclass(frozen=True)
class Edge:
    """A line from one box to another. `kind` is its class in CSS; `lines` are its tooltip."""

    kind: Literal["submits", "receives", "follows"]
    start: Node
    end: Node
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Box:
    """What is written in a box, where it is, and the anchor of its rows in the tables."""

    node: Node
    name: str
    japanese: str
    scope: str
    anchor: str
    y: float = 0


def picture(systems: Mapping[str, System], shown: DataFlows) -> str:
    """Return the SVG element. The same declarations give the same text."""
    edges = _edges(shown)
    lanes = _lanes(shown.consequences, [fact.id for fact in shown.facts])
    gutter = LANE * (max(lanes.values(), default=0) + 2)
    x = {"from": 3, "fact": 3 + BOX_WIDTH + GAP + gutter, "to": 3 + 2 * (BOX_WIDTH + GAP) + gutter}
    width = x["to"] + BOX_WIDTH + 7
    boxes = _placed(systems, shown, edges)
    height = max(box.y for box in boxes.values()) + BOX_HEIGHT + 8
    edge_ids = {edge: f"e{number}" for number, edge in enumerate(edges)}
    node_ids = {node: f"n{number}" for number, node in enumerate(boxes)}
    slots = _slots(shown.consequences)
    parts = [
        f'<svg id="picture" viewBox="0 0 {width} {height:g}" role="group" aria-label="What flows between the systems">',
        TIP,
        *(_head(x[side], *names) for side, names in zip(("from", "fact", "to"), HEADS, strict=True)),
        '<g aria-hidden="true">',
    ]
    for edge, id_ in edge_ids.items():
        start, end = boxes[edge.start], boxes[edge.end]
        if edge.kind == "follows":
            lane = x["fact"] - LANE * (lanes[edge.start.id] + 1.5)
            path = _lane_path(
                x["fact"], lane, start.y + slots[edge.start, None], end.y + slots[edge.end, edge.start]
            )
        else:
            path = _curve(x[edge.start.side] + BOX_WIDTH, start.y, x[edge.end.side], end.y)
        parts.append(_edge_element(edge, id_, path))
    parts.append("</g>")
    for node, box in boxes.items():
        lit = _lit(node, edges, shown.facts)
        ids = [*(edge_ids[edge] for edge in lit), *(node_ids[each] for each in _ends(node, lit))]
        parts.append(_box_element(box, node_ids[node], x[node.side], ids, _tooltip(node, box, lit)))
    return "\n".join([*parts, "</svg>"])


def _edges(shown: DataFlows) -> list[Edge]:
    edges = [
        Edge("submits", Node("from", system), Node("fact", fact.id), (f"{system} submits {fact.name}",))
        for fact in shown.facts
        for system in fact.submitters
    ]
    received: dict[tuple[str, str], list[Flow]] = {}
    for flow in shown.flows:
        received.setdefault((flow.fact, flow.domain), []).append(flow)
    names = {fact.id: fact.name for fact in shown.facts}
    for (fact_id, domain), flows in received.items():
        lines = (f"{domain} receives {names[fact_id]}", *chain.from_iterable(map(_flow_lines, flows)))
        edges.append(Edge("receives", Node("fact", fact_id), Node("to", domain), lines))
    for each in shown.consequences:
        lines = (f"{names[each.fact]} follows from {names[each.cause]}", *each.texts)
        edges.append(Edge("follows", Node("fact", each.cause), Node("fact", each.fact), lines))
    return edges


def _flow_lines(flow: Flow) -> Iterator[str]:
    yield f"table {flow.table}: {', '.join(flow.columns)}"
    yield f"of: {flow.of_whom}"
    if flow.withheld:
        yield f"withheld while protected: {', '.join(flow.withheld)}"


def _placed(systems: Mapping[str, System], shown: DataFlows, edges: Sequence[Edge]) -> dict[Node, Box]:
    """Return the boxes, each column spread over the height, systems in the order of the facts they have to do with."""
    facts = [
        Box(Node("fact", fact.id), fact.name, fact.japanese, fact.scope, f"fact-{number}")
        for number, fact in enumerate(shown.facts)
    ]
    place = {box.node: number for number, box in enumerate(facts)}
    anchors = {id_: f"system-{number}" for number, id_ in enumerate(systems)}

    def of_systems(side: Side, ids: Iterable[str]) -> list[Box]:
        boxes = [
            Box(Node(side, id_), id_, systems[id_].japanese, systems[id_].scope.value.lower(), anchors[id_])
            for id_ in ids
        ]
        return sorted(boxes, key=lambda box: _middle([place[each] for each in _neighbours(box.node, edges)]))

    columns = (
        of_systems("from", (id_ for id_, system in systems.items() if system.publishes)),
        facts,
        of_systems("to", (id_ for id_, system in systems.items() if system.domain)),
    )
    rows = max(map(len, columns))
    return {
        box.node: Box(box.node, box.name, box.japanese, box.scope, box.anchor, y)
        for column in columns
        for number, box in enumerate(column)
        for y in [round(HEAD_HEIGHT + ROW_HEIGHT * rows * (number + 0.5) / len(column) - ROW_HEIGHT / 2, 1)]
    }


def _neighbours(node: Node, edges: Iterable[Edge]) -> Iterator[Node]:
    for edge in edges:
        if edge.start == node:
            yield edge.end
        elif edge.end == node:
            yield edge.start


def _middle(places: Sequence[int]) -> float:
    """Return the mean place; what has to do with no fact comes last."""
    return sum(places) / len(places) if places else float("inf")


def _lanes(consequences: Iterable[Consequences], facts: Sequence[str]) -> dict[str, int]:
    """Return the lane of each cause. Causes whose lines would overlap have different ones; 0 is next to the boxes."""
    reach: dict[str, list[int]] = {}
    for each in consequences:
        reach.setdefault(each.cause, [facts.index(each.cause)]).append(facts.index(each.fact))
    lanes: dict[str, int] = {}
    for cause in sorted(reach, key=lambda cause: (max(reach[cause]) - min(reach[cause]), cause)):
        first, last = min(reach[cause]), max(reach[cause])
        taken = {lanes[other] for other in lanes if min(reach[other]) <= last and first <= max(reach[other])}
        lanes[cause] = next(lane for lane in range(len(reach)) if lane not in taken)
    return lanes


def _slots(consequences: Iterable[Consequences]) -> dict[tuple[Node, Node | None], float]:
    """Return how far below the top of its box each dashed line begins (cause None) or ends, evenly spread."""
    ends: dict[Node, dict[Node | None, None]] = {}
    for each in consequences:
        fact, cause = Node("fact", each.fact), Node("fact", each.cause)
        ends.setdefault(cause, {})[None] = None
        ends.setdefault(fact, {})[cause] = None
    first, last = SLOTS
    return {
        (node, cause): first + (last - first) * (number + 0.5) / len(causes)
        for node, causes in ends.items()
        for number, cause in enumerate(causes)
    }


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    start, end, bend = y1 + BOX_HEIGHT / 3, y2 + BOX_HEIGHT / 3, (x2 - x1) / 2
    return f"M{x1:g} {start:g}C{x1 + bend:g} {start:g} {x2 - bend:g} {end:g} {x2:g} {end:g}"


def _lane_path(x: float, lane: float, y1: float, y2: float) -> str:
    return f"M{x:g} {y1:g}H{lane:g}V{y2:g}H{x - 1:g}"


def _lit(node: Node, edges: Sequence[Edge], facts: Iterable[Fact]) -> list[Edge]:
    """Return the lines that are emphasized with a box, in their order.

    From a system down: to what it submits, what follows from it, and who receives it. From a domain up in the same way.
    A fact has both. What the mesh makes of other facts is passed through, because it has no submitter.
    """
    made = {Node("fact", fact.id) for fact in facts if not fact.submitters}
    lit = {edge for edge in edges if node in (edge.start, edge.end)}
    for fact in [node] if node.side == "fact" else list(_neighbours(node, lit)):
        if node.side == "from" and fact.id == ENROLMENT:
            lit |= _of_enrolment(node.id, edges)
        elif node.side != "to":
            passed = {edge.end for edge in edges if edge.start == fact and edge.end in made}
            lit |= {edge for edge in edges if edge.start in {fact, *passed}}
        if node.side != "from":
            causes = {edge.start for edge in edges if edge.end == fact and edge.kind == "follows"}
            lit |= {edge for edge in edges if edge.end == fact}
            lit |= {edge for edge in edges if edge.kind == "submits" and edge.end in causes and fact in made}
    return [edge for edge in edges if edge in lit]


def _of_enrolment(system: str, edges: Iterable[Edge]) -> set[Edge]:
    """Return the lines of what a system's enrolments have an effect on: only on what its own domain receives."""
    received = {edge for edge in edges if edge.end == Node("to", system)}
    followers = {edge for edge in edges if edge.start == Node("fact", ENROLMENT)}
    ends = {edge.start for edge in received} & {edge.end for edge in followers}
    return {edge for edge in received if edge.start in ends} | {
        edge for edge in followers if edge.end in ends
    }


def _ends(node: Node, edges: Iterable[Edge]) -> list[Node]:
    return list(dict.fromkeys((node, *chain.from_iterable((edge.start, edge.end) for edge in edges))))


def _tooltip(node: Node, box: Box, lit: Iterable[Edge]) -> list[str]:
    own = [edge for edge in lit if node in (edge.start, edge.end)]
    head = " ".join(filter(None, (box.name, box.japanese, box.scope and f"({box.scope})")))
    if node.side == "to":
        return [head, *(line for edge in own for line in edge.lines)]
    return [head, *(edge.lines[0] for edge in own)] if own else [head, "no kind of fact"]


def _head(x: float, name: str, japanese: str) -> str:
    return f'<text class="head" x="{x:g}" y="16">{name} <tspan lang="ja">{japanese}</tspan></text>'


def _edge_element(edge: Edge, id_: str, path: str) -> str:
    """Return a line with a wide invisible one, which is easier to point at."""
    tip = ' marker-end="url(#tip)"' if edge.kind == "follows" else ""
    return (
        f'<g id="{id_}" class="edge {edge.kind}"><title>{_escaped(edge.lines)}</title>'
        f'<path class="hit" d="{path}"/><path d="{path}"{tip}/></g>'
    )


def _box_element(box: Box, id_: str, x: float, lit: Iterable[str], tooltip: Iterable[str]) -> str:
    left, right, width = x + TEXT_MARGIN, x + BOX_WIDTH - TEXT_MARGIN, BOX_WIDTH - 2 * TEXT_MARGIN
    beside = width - (TAG_WIDTH if box.scope else 0)
    # The scope stands beside the Japanese name, or above if that is too long and the other one shorter.
    is_above = _ems(box.japanese) * 12.5 > beside and _ems(box.name) < _ems(box.japanese)
    name, name_size = _fitted(box.name, beside if is_above else width, 14)
    japanese, japanese_size = _fitted(box.japanese, width if is_above else beside, 12.5)
    tag_y = box.y + (17 if is_above else 34)
    # One per municipality is drawn as a pile.
    piles = [4, 0] if box.scope == "municipal" else [0]
    parts = [
        f'<a id="{id_}" class="{box.node.side} {box.scope}" href="#{box.anchor}" data-lit="{" ".join(lit)}">',
        f"<title>{_escaped(tooltip)}</title>",
        *(
            f'<rect x="{x + off:g}" y="{box.y + off:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5"/>'
            for off in piles
        ),
        f'<text class="name" x="{left:g}" y="{box.y + 17:g}" font-size="{name_size:.4g}">{html_text(name)}</text>',
        f'<text class="japanese" lang="ja" x="{left:g}" y="{box.y + 34:g}" font-size="{japanese_size:.4g}">',
        f'{html_text(japanese)}</text><text class="tag" x="{right:g}" y="{tag_y:g}">{box.scope}</text></a>',
    ]
    return "".join(parts)


def _escaped(lines: Iterable[str]) -> str:
    return "\n".join(map(html_text, lines))


def _fitted(text: str, width: float, size: float) -> tuple[str, float]:
    """Return a text and the size of its font: smaller if it is long, cut off with … if FONT_MIN is too large still."""
    size = max(FONT_MIN, min(size, width / max(_ems(text), 1)))
    if _ems(text) * size > width:
        while text and (_ems(text) + 1) * size > width:
            text = text[:-1]
        text += "…"
    return text, size


def _ems(text: str) -> float:
    """Return about how wide a text is, as a multiple of the size of its font."""
    return sum(1 if unicodedata.east_asian_width(each) in "WFA" else LATIN_EMS for each in text)
