"""`mesh run`, `mesh up` and `mesh down`."""

from __future__ import annotations

import signal
import time
from typing import Annotated

import typer

from infra.apply.cli import report, with_bar
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, clear_errors
from infra.local.home import Home
from infra.local.progress import OnConsole
from infra.local.stack import Stack
from infra.run import background
from infra.run.background import start_workers
from infra.run.slots import slots
from infra.run.supervisor import Supervisor, supervised

run_app = typer.Typer(add_completion=False)
up_app = typer.Typer(add_completion=False)
down_app = typer.Typer(add_completion=False)

Workers = Annotated[int, typer.Option(min=1, help="Workers of each step.")]


@run_app.command()
def run(
    steps: Annotated[list[str] | None, typer.Argument(help="Steps to run; all by default.")] = None,
    workers: Workers = 1,
) -> None:
    """Run steps in the foreground, and start again what dies. Ctrl-C stops them in order."""
    with clear_errors():
        installation = Installation.of_settings()
        chosen = slots(steps or [], workers)
        Environment.load()
        if not installation.schema_ids.exists():
            raise OperatorError("nothing is applied yet: mesh apply")
        supervisor = Supervisor(installation, chosen, typer.echo)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        if not supervisor.run():
            raise OperatorError("every worker was given up", code=1)
    typer.echo("stopped")


@up_app.command()
def up(workers: Workers = 1) -> None:
    """Start servers and all steps in the background; return when they are ready."""
    begun = time.monotonic()
    with clear_errors():
        Stack(progress=OnConsole()).up()
        installation = Installation(Home.of_settings().folder)
        environment = Environment.load()
        if supervised(installation) is None:
            for line in report(with_bar(environment, installation, []), installation.municipalities()):
                typer.echo(line)
        start_workers(environment, installation, workers)
    typer.echo(f"ready after {time.monotonic() - begun:.1f} s; `mesh status` shows what runs")


@down_app.command()
def down() -> None:
    """Stop all steps and the servers; the data stays."""
    with clear_errors():
        stopped = background.stop(Installation.of_settings())
        typer.echo(f"{len(stopped.workers)} workers stopped" if stopped else "no workers were running")
        Stack(progress=OnConsole()).down()
