"""The command `mesh apply`."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.progress import BarColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from infra.apply.adoption_commands import submit_adoption
from infra.apply.installation import Installation
from infra.apply.reconcile import STAGES, ApplySummary, apply
from infra.environment import Environment
from infra.errors import errors_as_messages
from infra.printing import console, say, text_column
from infra.run.rolling_restart import restart, to_restart
from infra.run.supervisor import running_supervisor

app = typer.Typer(add_completion=False)


@app.command(name="apply")
def command(
    municipality: Annotated[
        list[str] | None, typer.Option(help="Code of a municipality (JIS X 0402) to admit; repeatable.")
    ] = None,
    passwords: Annotated[
        bool, typer.Option("--passwords", help="Set every user's password in Kafka again.")
    ] = False,
) -> None:
    """Create and update keys, users, topics, ACLs, schemas and stores as declared. Repeatable.

    Checks everything first, then changes it, then restarts workers that run other code or declarations.
    """
    begun = time.monotonic()
    with errors_as_messages():
        environment, installation = Environment.load(), Installation.of_settings()
        applied = apply_with_progress(environment, installation, municipality or [], passwords)
        for line in report_lines(applied, installation.municipalities()):
            say(line)
        if to_restart(installation, running_supervisor(installation)):
            restart(environment, installation, lambda name: say(f"{name} restarted"))
        report_adoption(environment, installation)
        say(f"done in {time.monotonic() - begun:.1f} s")


def report_adoption(environment: Environment, installation: Installation) -> None:
    """Let the workers adopt the declarations if they have changed, and say so."""
    number = submit_adoption(environment, installation)
    if number is not None:
        say(f"declarations {number} are being adopted; `mesh status` shows how far")


def apply_with_progress(
    environment: Environment, installation: Installation, municipalities: list[str], passwords: bool = False
) -> ApplySummary:
    """Call `apply` and show its stages in a progress bar on the terminal."""
    columns = (text_column("apply: {task.description:8}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console(), transient=True) as bars:
        task = bars.add_task("checks", total=STAGES)

        def show(stage: str, number: int, total: int) -> None:
            bars.update(task, description=stage, completed=number, total=total)

        return apply(environment, installation, municipalities, show, passwords)


def report_lines(applied: ApplySummary, municipalities: list[str]) -> list[str]:
    """Return the lines to print: the municipalities that take part, and what was changed."""
    taking_part = ", ".join(municipalities) or "none yet"
    if not applied.changes:
        return [f"municipalities: {taking_part}", "nothing to change"]
    changed = (
        f"users set {applied.users}, quotas set {applied.quotas}, topics created or changed {applied.topics}, "
        f"ACLs added {applied.acls_added}, removed {applied.acls_removed}, "
        f"subjects {applied.subjects}, stores {applied.stores}"
    )
    return [f"municipalities: {taking_part}", changed]
