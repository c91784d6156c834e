"""Errors that an operator can act on: one sentence on standard error and exit code 2, instead of a traceback.

Workers import this module too, so modules that only the command line needs are imported inside functions.

StackError
├── ArtifactError      a file could not be fetched, or differs from the pinned one
├── HomeError          MESH_HOME can't be used
├── PortTakenError     another program listens on a server's port
└── StartError         a server did not become ready
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import Timeout


class StackError(RuntimeError):
    """The local stack can't do what was asked; the text says what to do."""


class ArtifactError(StackError):
    """A file could not be fetched, or differs from the pinned one."""


class HomeError(StackError):
    """MESH_HOME can't be used."""


class PortTakenError(StackError):
    """Another program listens on a server's port."""


class StartError(StackError):
    """A server did not become ready."""


class NoEnvironmentError(RuntimeError):
    """Neither addresses of servers nor a running local stack; the text says what to do."""


class KeyFileError(Exception):
    """The key file is missing, readable by other users, or malformed; the text shows no key."""


class OperatorError(RuntimeError):
    """A command can't do what was asked. The text is for the operator, `code` is the command's exit code."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


class NotAppliedError(OperatorError):
    """Other declarations are installed than were applied last."""

    def __init__(self) -> None:
        super().__init__("the installed declarations are not applied: run `mesh apply`")


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Print the text of an expected error and exit with its code; all other errors pass."""
    import typer  # noqa: PLC0415

    from infra.printing import say  # noqa: PLC0415

    try:
        yield
    except OperatorError as error:
        say(f"mesh: {error}", err=True)
        raise typer.Exit(error.code) from error
    except (StackError, NoEnvironmentError, KeyFileError) as error:
        # The end of a server's log may follow, in lines.
        say(*f"mesh: {error}".split("\n"), err=True)
        raise typer.Exit(2) from error
    except Timeout as error:
        say(
            "mesh: another mesh command has held a lock for too long; find it with ps, then try again",
            err=True,
        )
        raise typer.Exit(2) from error
