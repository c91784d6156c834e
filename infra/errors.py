"""What a person can mend is one sentence and exit code 2, not a traceback.

A worker imports these errors too: what only the command line needs is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import Timeout

from infra.local.errors import StackError


class NoEnvironmentError(RuntimeError):
    """Neither given addresses nor a running local stack; the message says what to do."""


class KeyFileError(Exception):
    """The key file is missing, readable by others, or not of its form; the message shows no key."""


class OperatorError(RuntimeError):
    """What was asked can't be done; the text is for the person at the keyboard, and `code` what the shell is told."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def clear_errors() -> Iterator[None]:
    """Every error that isn't a fault of the program is told in its own words."""
    import typer  # noqa: PLC0415

    try:
        yield
    except OperatorError as error:
        typer.echo(f"mesh: {error}", err=True)
        raise typer.Exit(error.code) from error
    except (StackError, NoEnvironmentError, KeyFileError) as error:
        typer.echo(f"mesh: {error}", err=True)
        raise typer.Exit(2) from error
    except Timeout as error:
        typer.echo("mesh: another mesh command has been at work here for too long; see ps", err=True)
        raise typer.Exit(2) from error
