"""`mesh demo`: from nothing to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.demo.page import page
from infra.demo.report import Report
from infra.demo.run import Demo, Sizes
from infra.errors import clear_errors

app = typer.Typer(add_completion=False)


@app.command()
def demo(  # noqa: PLR0913, PLR0917 (one for each option of the command)
    residents: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Residents of the synthetic city.")
    ] = 20_000,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of changes.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same city.")] = 1,
    folder: Annotated[Path, typer.Option(help="A place of its own; emptied first.")] = Path("build/demo"),
    samples: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="A second city, ingested once the first is in; else a small synthetic one.",
        ),
    ] = None,
    timeout_s: Annotated[int, typer.Option(min=10, help="Longest wait for each city.")] = 600,
) -> None:
    """Servers, all steps, two cities, and every store held row by row against a reference model."""
    console = Console(highlight=False)
    with clear_errors():
        sizes = Sizes(residents, days, seed, timeout_s)
        report = Demo(
            folder.absolute(), samples, sizes, lambda line: console.print(line, soft_wrap=True)
        ).run()
        written = folder / "report.html"
        written.write_text(page(report), encoding="utf-8")
        console.print(table(report))
        console.print(f"report: {written}")
        if not report.right:
            raise typer.Exit(1)


def table(report: Report) -> Table:
    """The report for a terminal."""
    shown = Table(title="One notice, told once, in every domain's store", show_header=False)
    for name, value in _lines(report):
        shown.add_row(name, value)
    return shown


def _lines(report: Report) -> list[tuple[str, str]]:
    domains = ", ".join(f"{it.domain} {it.changes:,}" for it in report.domains)
    refused = ", ".join(f"{code} {count:,}" for code, count in report.refused.items()) or "none"
    compared = {"rows": report.compared_rows, "messages": report.compared_messages}
    compared["accounts"] = report.compared_accounts
    cases = ", ".join(f"{count:,} {status}" for status, count in report.cases.items())
    return [
        ("notices handed over", f"{report.handed_over:,}"),
        ("accepted", f"{sum(report.accepted.values()):,}"),
        ("refused", refused),
        ("changes by domain", domains),
        ("disclosures recorded", f"{sum(it.disclosures for it in report.domains):,}"),
        ("cases", cases),
        ("conflicts for a clerk", f"{report.conflicts:,}"),
        ("dead letters", f"{report.dead_letters:,}"),
        *(
            (f"publish to store, {it.phase}", f"median {it.median_s:.2f} s, 99th percentile {it.p99_s:.2f} s")
            for it in report.latencies
        ),
        ("notices a second, into all stores", f"{report.notices_per_s:,.0f}"),
        (
            "compared with the reference model",
            ", ".join(f"{count:,} {name}" for name, count in compared.items()),
        ),
        ("differences", f"{len(report.differences):,}"),
    ]
