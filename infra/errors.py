"""What a person can mend is one sentence and exit code 2, not a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from filelock import Timeout

from infra.environment import NoEnvironmentError
from infra.keys import KeyFileError
from infra.local.errors import StackError


class OperatorError(RuntimeError):
    """What was asked can't be done; the text is for the person at the keyboard, and `code` what the shell is told."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def clear_errors() -> Iterator[None]:
    """Every error that isn't a fault of the program is told in its own words."""
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
