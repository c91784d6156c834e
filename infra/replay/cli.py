"""The command `mesh replay`."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.live import Live

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError, errors_as_messages
from infra.monitoring.stages import StageLag
from infra.monitoring.waiting import describe_lags
from infra.printing import console, say
from infra.replay.rebuild import ReplayResult, replay

app = typer.Typer(add_completion=False)


@app.command(name="replay")
def command(
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Confirm that stores, state and all topics but in.* are deleted first."),
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Longest time of each stage, in seconds.")] = 3600.0,
) -> None:
    """Delete everything derived, derive it again from the input topics, and compare the digests of the stores."""
    started = time.monotonic()
    with errors_as_messages():
        if not yes:
            raise OperatorError(
                "this deletes stores, state and all topics but in.*, then derives them again; "
                "to confirm: mesh replay --yes"
            )
        with Live(console=console(err=True), refresh_per_second=4, transient=True) as live:

            def show(stage: str, lags: list[StageLag]) -> None:
                live.update(f"{stage}: {describe_lags(lags)}" if lags else stage)

            result = replay(Environment.load(), Installation.of_settings(), show, timeout)
        _report(result, time.monotonic() - started)


def _report(result: ReplayResult, seconds: float) -> None:
    say(f"{result.topics} topics derived again in {seconds:.1f} s")
    say(f"before {result.before}")
    say(f"after  {result.after}")
    if result.before == result.after:
        say("the stores have the same rows as before")
    elif result.idle:
        raise OperatorError("the stores have not the same rows as before", code=1)
    else:
        say("the mesh was not idle before: records that waited at that time are applied now")
