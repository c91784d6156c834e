"""How the local stack tells what it is doing: bars on a terminal, lines elsewhere, in tests nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress


class ProgressReporter(Protocol):
    """What takes long says so here."""

    def say(self, text: str) -> None:
        """One line about what is happening."""

    def bytes(self, text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar over `total` bytes; what is entered takes the bytes done since the last call."""


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def bytes(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """No bar."""
        yield lambda done: None


class OnConsole:
    """On a console, which is standard error, so that standard output holds results only."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(text)

    @contextmanager
    def bytes(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar with bytes and time; where there is no terminal, one line before and none after."""
        if not self._console.is_terminal:
            self.say(f"{text}: {total / 1e6:.0f} MB")
            yield lambda done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with RichProgress(*columns, console=self._console) as bars:
            task = bars.add_task(text, total=total)
            yield lambda done: bars.advance(task, done)
