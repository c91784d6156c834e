"""`mesh cases`: the progress of accepted notices into all stores."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.apply.installation import Installation
from infra.apply.reconcile import TRACKER_TOKEN
from infra.coding import codec
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.printing import console, say_json, table
from infra.tracker.client import NoCaseError, Tracker
from infra.triage.rejections_and_conflicts import list_rejected

app = typer.Typer(no_args_is_help=True, help="Cases: the progress of each accepted notice into all stores.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


@app.command(name="list")
def list_cases(
    status: Annotated[
        str, typer.Option(help="Statuses to list, separated by commas: open, waiting, overdue, complete.")
    ] = "open,overdue",
    as_json: Json = False,
) -> None:
    """List the oldest open and overdue cases, or those of other statuses."""
    with errors_as_messages():
        cases = _tracker().cases(status)
    if as_json:
        _print_lines(cases)
        return
    columns = ("municipality", "notice", "reason", "status", "received_at")
    rows = [[*(case[name] for name in columns), _waits_for(case)] for case in cases]
    console().print(table((*columns[:4], "received at", "waits for"), rows))


@app.command()
def show(municipality: str, notice: str) -> None:
    """Print one case as JSON, also until when it waits; of a rejected notice say that, and how to see why."""
    with errors_as_messages():
        try:
            case = _tracker().case(municipality, notice)
        except NoCaseError:
            raise OperatorError(_why_no_case(municipality, notice)) from None
        _print_lines([case])


@app.command()
def summary() -> None:
    """Print counts of cases by status and the seconds from submission to the last store, as JSON."""
    with errors_as_messages():
        _print_lines([_tracker().summary()])


def _tracker() -> Tracker:
    token = Environment.load().secrets().password(TRACKER_TOKEN).get_secret_value()
    return Tracker(Installation.of_settings().folder, token)


def _why_no_case(municipality: str, notice: str) -> str:
    """Return why the tracker has no case: the notice was rejected, or nobody knows it. Without personal data."""
    environment = Environment.load()
    rows = list_rejected(environment, codec(environment, Installation.of_settings()))
    rejected = [row for row in rows if (row["municipality"], row["notice"]) == (municipality, notice)]
    if not rejected:
        return (
            f"no accepted or rejected notice {notice} of {municipality}: it may not be processed yet "
            "(`mesh wait --idle`), or its number could not be read (`mesh rejected list`)"
        )
    last = rejected[-1]
    return (
        f"notice {notice} of {municipality} was rejected ({last['code']}), so it has no case; "
        f"`mesh rejected list` says why, and `mesh rejected show {last['id']}` shows the submission"
    )


def _waits_for(case: dict[str, Any]) -> str:
    domains = [f"{domain} {count}" for domain, count in case["waiting_for"].items()]
    return ", ".join([f"until {case['waiting_until']}"] if case["waiting_until"] else domains)


def _print_lines(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        say_json(row)
