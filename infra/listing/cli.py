"""`mesh rejected`, `mesh conflicts`, `mesh dlq`: lists as tables, or with --json one object a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import clear_errors
from infra.listing import kept, rejected
from infra.listing.records import Row
from infra.schema_ids import codec
from schemas.codec import Codec

rejected_app = typer.Typer(no_args_is_help=True, help="Refused hand-overs.")
conflicts_app = typer.Typer(no_args_is_help=True, help="Facts of two sources that don't go together.")
dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: records that a step could not process.")

Json = Annotated[bool, typer.Option("--json", help="One object a line.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As the list has it.")]
#: Columns of text where standard output is no terminal.
WIDE = 200
PERSONAL = "mesh: what follows is personal content, as it was handed over"


@rejected_app.command(name="list")
def rejected_list(
    as_json: Json = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Repeated ones too.")] = False,
) -> None:
    """List refused hand-overs, each with source, line, notice and reason."""
    with clear_errors():
        found = rejected.listed(*_installed(), duplicates)
    columns = ("id", "source", "line", "notice", "reason")
    _show(found, ("verdict", *columns) if duplicates else columns, as_json)


@rejected_app.command(name="show")
def rejected_show(rejection: Id) -> None:
    """Show a refused hand-over as it came. Personal content."""
    with clear_errors():
        found = rejected.shown(*_installed(), rejection)
    typer.echo(PERSONAL, err=True)
    shown = {"origin": found.origin, "schema": found.schema, "hand_over": found.content}
    typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))


@rejected_app.command(name="resend")
def rejected_resend(rejection: Id) -> None:
    """Have a refused hand-over judged anew, as it came: an officer's act, itself an event on in.desk."""
    with clear_errors():
        rejected.resend(*_installed(), rejection)
    typer.echo(f"{rejection} is sent again: see `mesh rejected list` after `mesh wait --idle`")


@conflicts_app.callback()
def conflicts() -> None:
    """Facts of two sources that don't go together, for a clerk."""


@conflicts_app.command(name="list")
def conflicts_list(
    as_json: Json = False,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Those that passed, too.")] = False,
) -> None:
    """List open conflicts; persons by their code in the mesh."""
    with clear_errors():
        found = kept.conflicts(*_installed(), withdrawn)
    _show(found, ("id", "kind", "person", "domain", "municipality", "effective_on"), as_json)


@dlq_app.command(name="list")
def dlq_list(as_json: Json = False) -> None:
    """List dead letters: where each record stood, and why it is here."""
    with clear_errors():
        found = kept.dead_letters(*_installed())
    _show(found, ("id", "reason", "topic", "partition", "offset"), as_json)


@dlq_app.command(name="show")
def dlq_show(letter: Id) -> None:
    """Show a dead letter with what it held (base64). Personal content."""
    with clear_errors():
        found = kept.dead_letter(*_installed(), letter)
    typer.echo(PERSONAL, err=True)
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))


def _installed() -> tuple[Environment, Codec]:
    environment = Environment.load()
    return environment, codec(environment, Installation.of_settings())


def _show(found: Sequence[Row], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        for row in found:
            typer.echo(orjson.dumps(row))
        return
    # Where nobody looks on, nothing needs to be folded to a window's width.
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    table = Table(*columns)
    table.columns[0].no_wrap = True
    for row in found:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    console.print(table if found else "none")
