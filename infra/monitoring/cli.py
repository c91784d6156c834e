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
from infra.errors import OperatorError, clear_errors
from infra.monitoring.stages import StageLag
from infra.monitoring.state_inspection import held
from infra.monitoring.status import MeshStatus, WorkerStatus, status_of
from infra.monitoring.waiting import wait_idle

wait_app = typer.Typer(add_completion=False)
status_app = typer.Typer(add_completion=False)
state_app = typer.Typer(add_completion=False)


@wait_app.command()
def wait(
    idle: Annotated[bool, typer.Option("--idle", help="Until nothing is on its way any more.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 600.0,
) -> None:
    """Wait until all that was accepted is applied everywhere. Ends with 1 where that takes too long."""
    with clear_errors():
        if not idle:
            raise OperatorError("what for? mesh wait --idle")
        with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
            wait_idle(
                Environment.load(),
                Installation.of_settings(),
                lambda left: live.update(_on_its_way(left)),
                timeout,
            )
    typer.echo("idle: all that was accepted is applied everywhere")


@status_app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One document.")] = False,
) -> None:
    """Show servers, and each worker's step, slot, pid, partitions and lag. Ends with 1 where something is down."""
    with clear_errors():
        found = status_of(Installation.of_settings())
    if as_json:
        typer.echo(orjson.dumps(found.document()))
    else:
        _show(found, Console())
    if not found.well:
        raise typer.Exit(1)


@state_app.command()
def state(
    steps: Annotated[list[str] | None, typer.Argument(help="Steps that keep state; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line.")] = False,
) -> None:
    """Read the changelogs, and show each partition's entries, bytes and digest: the one that its worker logs."""
    table = Table("step", "partition", "entries", "bytes", "digest")
    with clear_errors():
        for each in held(Environment.load(), Installation.of_settings(), steps or []):
            if as_json:
                typer.echo(orjson.dumps(asdict(each)))
            else:
                table.add_row(*map(str, asdict(each).values()))
    if not as_json:
        Console().print(table)


def _on_its_way(left: list[StageLag]) -> Table:
    table = Table("step", "still to come", title="on its way")
    for stage in left:
        table.add_row(stage.step, str(stage.remaining))
    return table


def _show(found: MeshStatus, console: Console) -> None:
    servers = Table("server", "state", "pid", "address")
    for server in found.servers:
        servers.add_row(
            server.name, "running" if server.running else "down", str(server.pid or "–"), server.address
        )
    workers = Table("step", "slot", "state", "pid", "restarts", "partitions", "lag")
    for worker in found.workers:
        workers.add_row(*_row(worker))
    for table in (servers, workers):
        console.print(table)
    if found.aside:
        console.print(_set_aside(found.aside))
    if not found.workers:
        console.print("no workers run here: mesh up, or mesh run")


def _set_aside(aside: dict[str, tuple[int, int]]) -> Table:
    table = Table("step", "dead letters", "parked behind them", title="set aside: mesh dlq list")
    for step, (letters, parked) in aside.items():
        table.add_row(step, str(letters), str(parked))
    return table


def _row(worker: WorkerStatus) -> tuple[str, ...]:
    lag = "–" if worker.lag is None else str(worker.lag)
    pid, restarts = str(worker.pid or "–"), str(worker.restarts)
    return (worker.step, str(worker.slot), worker.state, pid, restarts, str(len(worker.partitions)), lag)
