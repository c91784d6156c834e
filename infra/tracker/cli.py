"""`mesh cases`: the progress of accepted notices into all stores."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from infra.apply.installation import Installation
from infra.apply.reconcile import TRACKER_TOKEN
from infra.environment import Environment
from infra.errors import errors_as_messages
from infra.tracker.client import Tracker

app = typer.Typer(no_args_is_help=True, help="Cases: the progress of each accepted notice into all stores.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


@app.command(name="list")
def list_cases(
    status: Annotated[
        str, typer.Option(help="Statuses to list, separated by commas: open, overdue, complete.")
    ] = "open,overdue",
    as_json: Json = False,
) -> None:
    """List the oldest open and overdue cases, or those of other statuses."""
    with errors_as_messages():
        cases = _tracker().cases(status)
    if as_json:
        _print_lines(cases)
        return
    table = Table("municipality", "notice", "reason", "status", "received at", "waits for")
    for case in cases:
        waits_for = ", ".join(f"{domain} {count}" for domain, count in case["waiting_for"].items())
        columns = ("municipality", "notice", "reason", "status", "received_at")
        table.add_row(*(str(case[name] or "") for name in columns), waits_for)
    Console().print(table)


@app.command()
def show(municipality: str, notice: str) -> None:
    """Print one case as JSON."""
    with errors_as_messages():
        _print_lines([_tracker().case(municipality, notice)])


@app.command()
def summary() -> None:
    """Print counts of cases by status and the seconds from submission to the last store, as JSON."""
    with errors_as_messages():
        _print_lines([_tracker().summary()])


def _tracker() -> Tracker:
    token = Environment.load().secrets().password(TRACKER_TOKEN).get_secret_value()
    return Tracker(Installation.of_settings().folder, token)


def _print_lines(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        typer.echo(orjson.dumps(row).decode())
