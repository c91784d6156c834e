"""The command `mesh clock`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer

from connectors.errors import ConnectorError
from connectors.publish import PublishSettings
from infra.apply.installation import Installation
from infra.clock.ticking import RETRY_S, run_clock, submit_now
from infra.errors import OperatorError, errors_as_messages
from infra.printing import say

app = typer.Typer(add_completion=False)


@app.command()
def clock(
    once: Annotated[
        bool, typer.Option("--once", help="Submit the days that have begun, and return.")
    ] = False,
) -> None:
    """Submit each day once it has begun in Japan, and at the start those since the last one, until Ctrl-C."""
    with errors_as_messages():
        installation = Installation.of_settings()
        try:
            if once:
                _report(submit_now(installation, PublishSettings()))
            else:
                run_clock(installation, _report, _report_failure)
        except ConnectorError as error:
            raise OperatorError(f"{error}; run the command again", code=1) from error


def _report(days: Sequence[date]) -> None:
    say(
        f"submitted: {', '.join(map(str, days))}" if days else "no day has begun since the last one submitted"
    )


def _report_failure(error: Exception) -> None:
    say(f"mesh: {error}; the next attempt is in {RETRY_S:.0f} s", err=True)
