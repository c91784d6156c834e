"""`mesh cases`: where notices stand on their way into all stores."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from infra.apply.installation import Installation
from infra.apply.reconcile import TRACKER_TOKEN
from infra.environment import Environment
from infra.errors import clear_errors
from infra.tracker.client import Tracker

app = typer.Typer(no_args_is_help=True, help="Cases: each accepted notice on its way into all stores.")
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command(name="list")
def list_cases(
    status: Annotated[
        str, typer.Option(help="open, overdue, complete; with commas between.")
    ] = "open,overdue",
    as_json: Json = False,
) -> None:
    """The oldest cases that are open or overdue."""
    with clear_errors():
        found = _tracker().cases(status)
    if as_json:
        _lines(found)
        return
    table = Table("municipality", "notice", "reason", "status", "handed over", "waits for")
    for case in found:
        waits = ", ".join(f"{domain} {count}" for domain, count in case["waiting_for"].items())
        columns = ("municipality", "notice", "reason", "status", "received_at")
        table.add_row(*(str(case[name] or "") for name in columns), waits)
    Console().print(table)


@app.command()
def show(municipality: str, notice: str) -> None:
    """One case, as JSON."""
    with clear_errors():
        _lines([_tracker().case(municipality, notice)])


@app.command()
def summary() -> None:
    """Cases by status, and the seconds from hand-over to the last store, as JSON."""
    with clear_errors():
        _lines([_tracker().summary()])


def _tracker() -> Tracker:
    token = Environment.load().secrets().password(TRACKER_TOKEN).get_secret_value()
    return Tracker(Installation.of_settings().folder, token)


def _lines(found: list[dict[str, Any]]) -> None:
    for row in found:
        typer.echo(orjson.dumps(row).decode())
