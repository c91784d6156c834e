"""`mesh apply`: keys, users, topics, rights, schemas and stores as declared."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from infra.apply.installation import Installation
from infra.apply.reconcile import ApplySummary, apply
from infra.environment import Environment
from infra.errors import clear_errors

app = typer.Typer(add_completion=False)


@app.command(name="apply")
def command(
    municipality: Annotated[
        list[str] | None, typer.Option(help="A municipality that takes part from now on (JIS X 0402).")
    ] = None,
    passwords: Annotated[
        bool, typer.Option("--passwords", help="Set every user's password in Kafka again.")
    ] = False,
) -> None:
    """Make keys, users, topics, rights, schemas and stores as declared. What is right already stays as it is."""
    begun = time.monotonic()
    with clear_errors():
        installation = Installation.of_settings()
        applied = with_bar(Environment.load(), installation, municipality or [], passwords)
        for line in report(applied, installation.municipalities()):
            typer.echo(line)
        typer.echo(f"done in {time.monotonic() - begun:.1f} s")


def with_bar(
    environment: Environment, installation: Installation, municipalities: list[str], passwords: bool = False
) -> ApplySummary:
    """`apply`, with a bar on the terminal."""
    columns = (TextColumn("apply: {task.description:8}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, transient=True) as bars:
        task = bars.add_task("keys", total=6)

        def show(text: str, done: int, total: int) -> None:
            bars.update(task, description=text, completed=done, total=total)

        return apply(environment, installation, municipalities, show, passwords)


def report(applied: ApplySummary, municipalities: list[str]) -> list[str]:
    """What was changed, in words."""
    taking_part = ", ".join(municipalities) or "none yet"
    if not applied.changes:
        return [f"municipalities: {taking_part}", "nothing to change"]
    changed = (
        f"users set {applied.users}, topics made or changed {applied.topics}, "
        f"rights given {applied.rights_given}, taken {applied.rights_taken}, "
        f"subjects {applied.subjects}, stores {applied.stores}"
    )
    return [f"municipalities: {taking_part}", changed]
