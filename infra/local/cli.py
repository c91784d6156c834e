"""`mesh local`: the servers on this machine."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Kafka, schema registry and PostgreSQL on this machine.")


@app.command()
def up() -> None:
    """Start."""
    typer.echo("x")


@app.command()
def down() -> None:
    """Stop."""
