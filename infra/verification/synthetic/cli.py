"""`mesh synth`: a synthetic city in the samples' format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from infra.verification.synthetic.writing import write_city

app = typer.Typer(add_completion=False)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; made where it isn't there.")],
    residents: Annotated[
        int, typer.Option(min=30, max=2_000_000, help="Residents registered first.")
    ] = 20_000,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of changes.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
) -> None:
    """Write a synthetic city: every reason, notices by household, out of order, both kinds of file."""
    if folder.is_dir() and any(folder.iterdir()):
        typer.echo(f"{folder.name} is not empty: a city is written into a folder of its own.", err=True)
        raise typer.Exit(2)
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bars:
        tasks: dict[str, TaskID] = {}

        def show(part: str, done: int, total: int) -> None:
            task = (
                tasks.setdefault(part, bars.add_task(part, total=total)) if part not in tasks else tasks[part]
            )
            bars.update(task, completed=done)

        meant = write_city(folder, residents, days, seed, show)
    accepted = sum(meant.accepted.values())
    typer.echo(
        f"{meant.residents} residents, {accepted} notices, {len(meant.refused)} to be refused, "
        f"{meant.duplicates} handed over twice, {meant.on_the_way} residents still on the way."
    )
