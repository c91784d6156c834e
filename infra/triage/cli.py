"""`mesh rejected`, `mesh conflicts`, `mesh dlq`: lists as tables, or with --json one object a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from infra.apply.installation import Installation
from infra.codec import codec
from infra.environment import Environment
from infra.errors import OperatorError, clear_errors
from infra.triage import conflicts as conflict_listing
from infra.triage import dead_letter_listing, rejected
from infra.triage.records import Row
from schemas.codec import Codec

rejected_app = typer.Typer(no_args_is_help=True, help="Refused hand-overs.")
conflicts_app = typer.Typer(no_args_is_help=True, help="Facts of two sources that don't go together.")
dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: records that a step could not process.")

Json = Annotated[bool, typer.Option("--json", help="One object a line.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As the list has it.")]
#: Columns of text where standard output is no terminal.
WIDE = 200
_SEE = ": see `mesh dlq list` after `mesh wait --idle`"
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
    _show(found, ("kind", *columns) if duplicates else columns, as_json)


@rejected_app.command(name="show")
def rejected_show(rejection: Id) -> None:
    """Show a refused hand-over as it came. Personal content."""
    with clear_errors():
        found = rejected.shown(*_installed(), rejection)
    typer.echo(PERSONAL, err=True)
    shown = {"origin": found.origin, "schema": found.schema, "hand_over": found.content}
    typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))


@rejected_app.command(name="resubmit")
def rejected_resend(rejection: Id) -> None:
    """Have a refused hand-over judged anew, as it came: an officer's act, itself an event on in.operator."""
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
        found = conflict_listing.conflicts(*_installed(), withdrawn)
    _show(found, ("id", "kind", "person", "domain", "municipality", "effective_on"), as_json)


@dlq_app.command(name="list")
def dlq_list(as_json: Json = False) -> None:
    """List dead letters: what became of each, how many records are parked behind it, why, and where it stood."""
    with clear_errors():
        found = dead_letter_listing.listed(*_installed())
    _show(found, ("id", "status", "blocked", "reason", "topic", "partition", "offset", "note"), as_json)


@dlq_app.command(name="show")
def dlq_show(letter: Id) -> None:
    """Show a dead letter with what it held. Personal content; the key file opens it."""
    with clear_errors():
        found = dead_letter_listing.shown(*_installed(), Installation.of_settings(), letter)
    typer.echo(PERSONAL, err=True)
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))


@dlq_app.command(name="retry")
def dlq_retry(letter: Id) -> None:
    """Have a record processed again as it came, and what is parked behind it after it."""
    with clear_errors():
        dead_letter_listing.act(*_installed(), letter, "RETRY")
    typer.echo(f"{letter} is to be retried{_SEE}")


@dlq_app.command(name="repair")
def dlq_repair(
    letter: Id,
    value: Annotated[
        Path, typer.Option("--value", exists=True, dir_okay=False, help="JSON, as `value` of show.")
    ],
) -> None:
    """Have another value processed in place of a record's, and what is parked behind it after it."""
    with clear_errors():
        environment, codec = _installed()
        installation = Installation.of_settings()
        sealed = dead_letter_listing.sealed_value(
            environment, codec, installation, letter, value.read_bytes()
        )
        dead_letter_listing.act(environment, codec, letter, "REPAIR", value=sealed)
    typer.echo(f"{letter} is to be repaired{_SEE}")


@dlq_app.command(name="dismiss")
def dlq_dismiss(
    letter: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for ever, so without personal data.")],
) -> None:
    """Give a record up for a reason; what is parked behind it follows."""
    with clear_errors():
        if not reason.strip():
            raise OperatorError("a letter is dismissed for a reason: --reason TEXT")
        dead_letter_listing.act(*_installed(), letter, "DISMISS", reason=reason)
    typer.echo(f"{letter} is to be dismissed{_SEE}")


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
