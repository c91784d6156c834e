"""`mesh wait`, `mesh status` and `mesh state`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.monitoring.stages import StageLag
from infra.monitoring.state_inspection import state_summaries
from infra.monitoring.status import MeshStatus, WorkerStatus, status_of
from infra.monitoring.waiting import wait_idle

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
        with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
            wait_idle(
                Environment.load(),
                Installation.of_settings(),
                lambda lags: live.update(_lag_table(lags)),
                timeout,
            )
    typer.echo("idle: everything accepted is applied in every store")


@status_app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show servers, workers (step, slot, pid, partitions, lag) and dead letters. Exits with 1 if something is down."""
    with errors_as_messages():
        mesh_status = status_of(Installation.of_settings())
    if as_json:
        typer.echo(orjson.dumps(mesh_status.document()))
    else:
        _print(mesh_status, Console())
    if not mesh_status.healthy:
        raise typer.Exit(1)


@state_app.command()
def state(
    steps: Annotated[list[str] | None, typer.Argument(help="Steps with state; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Read the changelogs and show each partition's entries, bytes and digest, as its worker logs it."""
    table = Table("step", "partition", "entries", "bytes", "digest")
    with errors_as_messages():
        for summary in state_summaries(Environment.load(), Installation.of_settings(), steps or []):
            if as_json:
                typer.echo(orjson.dumps(asdict(summary)))
            else:
                table.add_row(*map(str, asdict(summary).values()))
    if not as_json:
        Console().print(table)


def _lag_table(lags: list[StageLag]) -> Table:
    table = Table("step", "unprocessed", title="waiting for")
    for stage in lags:
        table.add_row(stage.step, str(stage.remaining))
    return table


def _print(mesh_status: MeshStatus, console: Console) -> None:
    servers = Table("server", "state", "pid", "address")
    for server in mesh_status.servers:
        servers.add_row(
            server.name, "running" if server.running else "down", str(server.pid or "–"), server.address
        )
    different = ("generation",) if mesh_status.outdated else ()
    workers = Table("step", "slot", "state", "pid", "restarts", "partitions", "lag", *different)
    for worker in mesh_status.workers:
        workers.add_row(*_cells(worker), *([worker.generation or "–"] if different else []))
    for table in (servers, workers):
        console.print(table)
    if mesh_status.outdated:
        console.print(
            f"installed is generation {mesh_status.generation}: mesh restart restarts workers of another one",
            highlight=False,
        )
    if mesh_status.dlq:
        console.print(_dlq_table(mesh_status.dlq))
    if not mesh_status.workers:
        console.print("no workers run here; start them with mesh up, or mesh run")


def _dlq_table(dlq: dict[str, tuple[int, int]]) -> Table:
    table = Table("step", "dead letters", "blocked records", title="dead-letter queues: see mesh dlq list")
    for step, (dead_letters, blocked) in dlq.items():
        table.add_row(step, str(dead_letters), str(blocked))
    return table


def _cells(worker: WorkerStatus) -> tuple[str, ...]:
    lag = "–" if worker.lag is None else str(worker.lag)
    pid, restarts = str(worker.pid or "–"), str(worker.restarts)
    return (worker.step, str(worker.slot), worker.state, pid, restarts, str(len(worker.partitions)), lag)
