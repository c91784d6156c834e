"""The report as one HTML page without scripts or external resources, readable in any browser and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template

from infra.demo.report import DomainFigures, Report
from infra.printing import html_text
from schemas.reasons import JAPANESE, Reason

BAR_WIDTH_PX = 240


def page(report: Report) -> str:
    """Return the page as HTML."""
    template = Template((resources.files("infra.demo") / "page.html").read_text("utf-8"))
    return template.substitute(
        result=_result(report),
        result_class="passed" if report.passed else "failed",
        figures=_figures(report),
        reasons=_bars({JAPANESE[Reason(name)]: count for name, count in report.accepted.items()}),
        domains="".join(_domain_row(domain) for domain in report.domains),
        rejections=_rows((code, _number(count)) for code, count in report.rejected.items()),
        readings=_rows((table, _number(count)) for table, count in report.compared_readings.items()),
        latencies=_rows(
            (latency.phase, _number(latency.changes), f"{latency.median_s:.2f} s", f"{latency.p99_s:.2f} s")
            for latency in report.latencies
        ),
        differences=_differences(report),
        phases=_bars({phase.name: round(phase.seconds, 1) for phase in report.phases}, " s"),
        machine=html_text(report.machine),
        inputs=html_text(", ".join(report.inputs)),
    )


def _result(report: Report) -> str:
    if report.passed:
        rows, messages = _number(report.compared_rows), _number(report.compared_messages)
        readings = _number(sum(report.compared_readings.values()))
        accounts = _number(report.compared_accounts)
        return (
            f"All {rows} rows of persons, {readings} rows of readings, {messages} messages and {accounts} accounts "
            "are as expected"
        )
    return f"{_number(len(report.differences))} differences from the reference model"


def _figures(report: Report) -> str:
    cases = sum(report.cases.values())
    figures = {
        "residents": report.residents,
        "notices submitted": report.submitted,
        "accepted": sum(report.accepted.values()),
        "rejected": sum(report.rejected.values()),
        "changes to domains": sum(domain.changes for domain in report.domains),
        "disclosures recorded": sum(domain.disclosures for domain in report.domains),
        "cases complete": f"{_number(report.cases.get('complete', 0))} of {_number(cases)}",
        "conflicts for a clerk": report.conflicts,
        "events without effect": report.events_without_effect,
        "dead letters": report.dead_letters,
        "notices a second, into all stores": round(report.notices_per_s),
    }
    return "".join(
        f"<div><b>{_number(value) if isinstance(value, int) else value}</b><span>{html_text(name)}</span></div>"
        for name, value in figures.items()
    )


def _domain_row(domain: DomainFigures) -> str:
    rows = ", ".join(f"{html_text(status)} {_number(count)}" for status, count in domain.rows.items())
    return (
        f"<tr><td>{html_text(domain.japanese)} <small>{html_text(domain.domain)}</small></td>"
        f"<td>{_number(domain.changes)}</td><td>{_number(sum(domain.rows.values()))}<br><small>{rows}</small></td>"
        f"<td>{_number(domain.disclosures)}</td></tr>"
    )


def _differences(report: Report) -> str:
    if not report.differences:
        return "<p>None.</p>"
    kinds: dict[tuple[str, str, str], int] = {}
    for difference in report.differences:
        key = (difference.domain, difference.kind, ", ".join(difference.columns))
        kinds[key] = kinds.get(key, 0) + 1
    rows = _rows((*key, _number(count)) for key, count in sorted(kinds.items()))
    return f"<table><tr><th>domain</th><th>kind</th><th>columns</th><th>rows</th></tr>{rows}</table>"


def _bars(values: Mapping[str, float], unit: str = "") -> str:
    largest = max(values.values(), default=0) or 1
    rows = (
        f"<tr><td>{html_text(name)}</td>"
        f'<td><svg width="{BAR_WIDTH_PX}" height="12" role="img" aria-label="{value}{unit}">'
        f'<rect width="{BAR_WIDTH_PX * value / largest:.1f}" height="12"/></svg></td>'
        f"<td>{_number(value)}{unit}</td></tr>"
        for name, value in sorted(values.items(), key=lambda item: -item[1])
    )
    return f'<table class="bars">{"".join(rows)}</table>'


def _rows(rows: Iterable[Iterable[str]]) -> str:
    return "".join(f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in row)}</tr>" for row in rows)


def _number(value: float) -> str:
    return f"{value:,}"
