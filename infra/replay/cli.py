"""`mesh replay`."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, clear_errors
from infra.monitoring.stages import StageLag
from infra.monitoring.waiting import described
from infra.replay.rebuild import ReplayResult, replay

app = typer.Typer(add_completion=False)


@app.command(name="replay")
def command(
    yes: Annotated[
        bool, typer.Option("--yes", help="Yes, forget stores, state and every derived topic first.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a stage may take.")] = 3600.0,
) -> None:
    """Forget all that was derived, and derive it again from what was handed over. Compares the stores' digests."""
    begun = time.monotonic()
    with clear_errors():
        if not yes:
            raise OperatorError(
                "this forgets stores, state and every topic but in.*, and derives them again; say so: mesh replay --yes"
            )
        with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:

            def show(what: str, left: list[StageLag]) -> None:
                live.update(f"{what}: {described(left)} on its way" if left else what)

            found = replay(Environment.load(), Installation.of_settings(), show, timeout)
        _report(found, time.monotonic() - begun)


def _report(found: ReplayResult, seconds: float) -> None:
    typer.echo(f"{found.topics} topics derived again in {seconds:.1f} s")
    typer.echo(f"before {found.before}")
    typer.echo(f"after  {found.after}")
    if found.before == found.after:
        typer.echo("the stores hold the same as before")
    elif found.idle:
        raise OperatorError("the stores do not hold what they held before", code=1)
    else:
        typer.echo("no workers ran before: what was still on its way then is applied now")
