"""Progress of the local stack: bars on a terminal, lines elsewhere, nothing in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from infra.printing import console as plain_console
from infra.printing import printable, text_column


class ProgressReporter(Protocol):
    """Receives the progress of long operations."""

    def line(self, text: str) -> None:
        """Report one line of text."""

    def bytes(self, text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context with a function to call with the bytes done since its last call, of `total` bytes."""


class Silent:
    """Reports nothing."""

    def line(self, text: str) -> None:
        """Do nothing."""

    @contextmanager
    def bytes(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show nothing."""
        yield lambda done: None


class OnConsole:
    """Reports to a console, by default standard error, because standard output has results only."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or plain_console(err=True)

    def line(self, text: str) -> None:
        """Print a line."""
        self._console.print(printable(text))

    @contextmanager
    def bytes(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar with bytes and time; without a terminal, print one line at the start."""
        if not self._console.is_terminal:
            self.line(f"{text}: {total / 1e6:.0f} MB")
            yield lambda done: None
            return
        columns = (text_column("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with RichProgress(*columns, console=self._console) as bars:
            task = bars.add_task(printable(text), total=total)
            yield lambda done: bars.advance(task, done)
