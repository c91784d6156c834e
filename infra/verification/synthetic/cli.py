"""`mesh synth`: write a synthetic city in the samples' format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

from infra.printing import say, text_column
from infra.verification.synthetic.writing import write_city

app = typer.Typer(add_completion=False)


@app.command()
def synth(
    folder: Annotated[
        Path, typer.Argument(help="Folder for the files; created if missing, otherwise empty.")
    ],
    residents: Annotated[
        int, typer.Option(min=30, max=2_000_000, help="Number of residents on the first day.")
    ] = 20_000,
    days: Annotated[
        int,
        typer.Option(
            min=1,
            max=366,
            help="Number of days with changes, from 15 December 2025; intake rejects future ones.",
        ),
    ] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
) -> None:
    """Write a synthetic city: every reason, notices by household, notices out of order, both file formats.

    Systems that own entities submit their events: `events_<system>[_<municipality>].jsonl`.
    """
    if folder.is_dir() and any(folder.iterdir()):
        say(f"{folder.name} is not empty: choose an empty folder or a new name.", err=True)
        raise typer.Exit(2)
    columns = (text_column("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bars:
        tasks: dict[str, TaskID] = {}

        def show_progress(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(part, total=total)
            bars.update(tasks[part], completed=done)

        counts = write_city(folder, residents, days, seed, show_progress, with_entities=True)
    say(
        f"{counts.residents} residents, {counts.accepted.total()} notices, {len(counts.rejected)} to be rejected, "
        f"{counts.duplicates} submitted twice, {counts.pending_moves} residents with a pending move."
    )
