"""The command `mesh demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from infra.demo.page import page
from infra.demo.report import Report
from infra.demo.run import Demo, Sizes
from infra.errors import errors_as_messages
from infra.printing import console, say, table

app = typer.Typer(add_completion=False)


@app.command()
def demo(  # noqa: PLR0913, PLR0917 (one for each option of the command)
    residents: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Number of residents of the synthetic city.")
    ] = 20_000,
    days: Annotated[int, typer.Option(min=1, max=366, help="Number of days with changes.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic city.")] = 1,
    folder: Annotated[Path, typer.Option(help="Folder of the demo; it is emptied first.")] = Path(
        "build/demo"
    ),
    samples: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of the second city; by default a small synthetic one.",
        ),
    ] = None,
    timeout_s: Annotated[int, typer.Option(min=10, help="Longest wait for each city, in seconds.")] = 600,
) -> None:
    """Start servers and all steps, ingest two cities, and compare every row with a reference model."""
    with errors_as_messages():
        sizes = Sizes(residents, days, seed, timeout_s)
        report = Demo(folder.absolute(), samples, sizes, say).run()
        file = folder / "report.html"
        file.write_text(page(report), encoding="utf-8")
        console().print(report_table(report))
        say(f"report: {file}")
        if not report.passed:
            raise typer.Exit(1)


def report_table(report: Report) -> Table:
    """Return the report as a table for a terminal."""
    return table((), _lines(report), title="One notice, submitted once, in every domain's store")


def _lines(report: Report) -> list[tuple[str, str]]:
    domains = ", ".join(f"{domain.domain} {domain.changes:,}" for domain in report.domains)
    rejected = ", ".join(f"{code} {count:,}" for code, count in report.rejected.items()) or "none"
    compared = {"rows": report.compared_rows, "messages": report.compared_messages}
    compared["accounts"] = report.compared_accounts
    compared |= {f"rows of {table}": count for table, count in report.compared_readings.items()}
    cases = ", ".join(f"{count:,} {status}" for status, count in report.cases.items())
    return [
        ("notices submitted", f"{report.submitted:,}"),
        ("accepted", f"{sum(report.accepted.values()):,}"),
        ("rejected", rejected),
        ("changes by domain", domains),
        ("disclosures recorded", f"{sum(domain.disclosures for domain in report.domains):,}"),
        ("cases", cases),
        ("conflicts for a clerk", f"{report.conflicts:,}"),
        ("of these, events without effect", f"{report.events_without_effect:,}"),
        ("dead letters", f"{report.dead_letters:,}"),
        *(
            (
                f"publish to store, {latency.phase}",
                f"median {latency.median_s:.2f} s, 99th percentile {latency.p99_s:.2f} s",
            )
            for latency in report.latencies
        ),
        ("notices a second, into all stores", f"{report.notices_per_s:,.0f}"),
        (
            "compared with the reference model",
            ", ".join(f"{count:,} {name}" for name, count in compared.items()),
        ),
        ("differences", f"{len(report.differences):,}"),
    ]
