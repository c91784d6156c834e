"""`mesh wait`, `mesh status` and `mesh state`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.monitoring.stages import StageLag
from infra.monitoring.state_inspection import state_summaries
from infra.monitoring.status import MeshStatus, WorkerStatus, status_of
from infra.monitoring.waiting import wait_idle
from infra.printing import console, say, say_json, table

wait_app = typer.Typer(add_completion=False)
status_app = typer.Typer(add_completion=False)
state_app = typer.Typer(add_completion=False)


@wait_app.command()
def wait(
    idle: Annotated[
        bool, typer.Option("--idle", help="Wait until everything accepted is applied in every store.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Longest wait, in seconds.")] = 600.0,
) -> None:
    """Wait until everything accepted is applied in every store. Exits with 1 after the timeout."""
    with errors_as_messages():
        if not idle:
            raise OperatorError("what to wait for is missing: mesh wait --idle")
        with Live(console=console(err=True), refresh_per_second=4, transient=True) as live:
            wait_idle(
                Environment.load(),
                Installation.of_settings(),
                lambda lags: live.update(_lag_table(lags)),
                timeout,
            )
    say("idle: everything accepted is applied in every store")


@status_app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show servers, workers (step, slot, pid, partitions, lag) and dead letters. Exits with 1 if something is down."""
    with errors_as_messages():
        mesh_status = status_of(Installation.of_settings())
    if as_json:
        say_json(mesh_status.document())
    else:
        _print(mesh_status)
    if not mesh_status.healthy:
        raise typer.Exit(1)


@state_app.command()
def state(
    steps: Annotated[list[str] | None, typer.Argument(help="Steps with state; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Read the changelogs and show each partition's entries, bytes and digest, as its worker logs it."""
    with errors_as_messages():
        summaries = map(asdict, state_summaries(Environment.load(), Installation.of_settings(), steps or []))
        if as_json:
            for summary in summaries:
                say_json(summary)
        else:
            columns = ("step", "partition", "entries", "bytes", "digest")
            console().print(table(columns, (list(summary.values()) for summary in summaries)))


def _lag_table(lags: list[StageLag]) -> Table:
    rows = ((stage.step, stage.remaining) for stage in lags)
    return table(("step", "unprocessed"), rows, title="waiting for")


def _print(mesh_status: MeshStatus) -> None:
    servers = (
        (server.name, "running" if server.running else "down", server.pid or "–", server.address)
        for server in mesh_status.servers
    )
    terminal = console()
    terminal.print(table(("server", "state", "pid", "address"), servers))
    columns = ("step", "slot", "state", "pid", "restarts", "partitions", "lag")
    if mesh_status.outdated:
        rows = ((*_cells(worker), worker.generation or "–") for worker in mesh_status.workers)
        terminal.print(table((*columns, "generation"), rows))
        say(f"installed is generation {mesh_status.generation}: {_advice(mesh_status)}")
    else:
        terminal.print(table(columns, map(_cells, mesh_status.workers)))
    if mesh_status.adoption is not None and mesh_status.adoption.declarations:
        say(str(mesh_status.adoption))
    if mesh_status.dlq:
        terminal.print(_dlq_table(mesh_status.dlq))
    if not mesh_status.workers:
        say("no workers run here; start them with mesh up, or mesh run")


def _advice(mesh_status: MeshStatus) -> str:
    if mesh_status.is_applied:
        return "mesh restart restarts workers of another one"
    return (
        "its declarations are not applied yet: mesh apply applies them, and restarts workers of another one"
    )


def _dlq_table(dlq: dict[str, tuple[int, int]]) -> Table:
    rows = ((step, *counts) for step, counts in dlq.items())
    columns = ("step", "dead letters", "blocked records")
    return table(columns, rows, title="dead-letter queues: see mesh dlq list")


def _cells(worker: WorkerStatus) -> tuple[object, ...]:
    lag = "–" if worker.lag is None else worker.lag
    pid, partitions = worker.pid or "–", len(worker.partitions)
    return (worker.step, worker.slot, worker.state, pid, worker.restarts, partitions, lag)
