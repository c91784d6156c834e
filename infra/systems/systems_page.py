"""All systems, and what flows between them, as one HTML page without external resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from string import Template
from typing import Final

from infra.printing import html_text
from infra.systems.data_flows import DataFlows, Fact, Flow, data_flows
from infra.systems.descriptions import table_names
from infra.systems.flow_picture import picture
from schemas.systems import SYSTEMS, System

#: Where a kind of fact is for the mesh alone, or no domain has a reading of it.
_NO_DOMAIN: Final = 'no domain <span lang="ja">受領先なし</span>'


def page(systems: Mapping[str, System] = SYSTEMS) -> str:
    """Return the page as HTML. The same declarations give the same text."""
    shown = data_flows(systems)
    template = Template((resources.files("infra.systems") / "page.html").read_text("utf-8"))
    return template.substitute(
        figures=_figures(systems, shown),
        picture=picture(systems, shown),
        flows="".join(_flow_rows(systems, shown)),
        consequences="".join(_consequence_rows(shown)),
        systems="".join(_system_rows(systems, shown)),
    )


def _figures(systems: Mapping[str, System], shown: DataFlows) -> str:
    figures = {
        "systems": len(systems),
        "kinds of facts": len(shown.facts),
        "domains": sum(system.domain is not None for system in systems.values()),
        "tables received": len(shown.flows),
    }
    return "".join(f"<div><b>{count}</b><span>{name}</span></div>" for name, count in figures.items())


def _flow_rows(systems: Mapping[str, System], shown: DataFlows) -> Iterator[str]:
    """Yield a row for each kind of fact and table that a domain receives of it; one for a fact that nobody does."""
    for number, fact in enumerate(shown.facts):
        flows = [flow for flow in shown.flows if flow.fact == fact.id]
        for position, flow in enumerate(flows or [None]):
            cells = (
                _sources(fact, systems, shown),
                _names(fact.name, fact.japanese, fact.scope),
                *(_received(flow, systems) if flow else (_NO_DOMAIN, *[""] * 6)),
            )
            yield _row(cells, "" if position else f"fact-{number}")


def _received(flow: Flow, systems: Mapping[str, System]) -> tuple[str, ...]:
    return (
        _system_names([flow.domain], systems),
        html_text(flow.table),
        _columns(flow.columns),
        html_text(flow.purpose or "–"),
        html_text(flow.basis),
        html_text(flow.of_whom),
        _columns(flow.withheld),
    )


def _sources(fact: Fact, systems: Mapping[str, System], shown: DataFlows) -> str:
    if fact.submitters:
        return _system_names(fact.submitters, systems)
    causes = {each.cause for each in shown.consequences if each.fact == fact.id}
    names = ", ".join(each.name for each in shown.facts if each.id in causes)
    return f"<small>the mesh, of</small> {html_text(names)}"


def _consequence_rows(shown: DataFlows) -> Iterator[str]:
    names = {fact.id: _names(fact.name, fact.japanese) for fact in shown.facts}
    for fact in shown.facts:
        for each in shown.consequences:
            if each.fact == fact.id:
                yield _row((names[each.cause], names[each.fact], _lines(each.texts)))


def _system_rows(systems: Mapping[str, System], shown: DataFlows) -> Iterator[str]:
    for number, system in enumerate(systems.values()):
        facts = [fact.name for fact in shown.facts if system.id in fact.submitters]
        events = (
            f"<br><small>{html_text(', '.join(system.event_names))}</small>" if system.event_names else ""
        )
        cells = (
            _names(system.id, system.japanese),
            system.scope.value.lower(),
            html_text(system.publishes or "nothing") + events,
            html_text(", ".join(facts)),
            html_text(", ".join(table_names(system.domain)) if system.domain else "nothing"),
            html_text(system.domain.legal_basis if system.domain else ""),
        )
        yield _row(cells, f"system-{number}")


def _system_names(ids: Iterable[str], systems: Mapping[str, System]) -> str:
    return "<br>".join(_names(id_, systems[id_].japanese) for id_ in ids)


def _names(name: str, japanese: str, scope: str = "") -> str:
    note = f"<br><small>{html_text(scope)}</small>" if scope else ""
    return f'{html_text(name)} <span lang="ja">{html_text(japanese)}</span>{note}'


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f"<span>{html_text(name)}</span>" for name in names)


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(map(html_text, texts))


def _row(cells: Iterable[str], anchor: str = "") -> str:
    """Return a row of cells that are HTML already."""
    id_ = f' id="{anchor}"' if anchor else ""
    return f"<tr{id_}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"
