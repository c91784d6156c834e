"""What the sources of files do alike: batch after batch, progress in bytes, and no place to remember."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from connectors.files.lines import Line, LineFile
from connectors.files.settings import FileSettings
from connectors.source import HandOvers

#: What a source doesn't part: a line, a row, or the rows of one hand-over.
Item = TypeVar("Item")


class FileSource(Generic[Item]):
    """A source but for its `open`, which looks the whole file through and then calls `_begin`."""

    def __init__(self, path: Path, settings: FileSettings | None = None) -> None:
        self._settings = settings or FileSettings()
        self._file = LineFile(path, self._settings.line_bytes_max)
        self._items: Iterator[Item] = iter(())
        self._filed: Callable[[list[Item]], Sequence[HandOvers]] = lambda _: ()
        self._read = self._done = 0

    @property
    def bytes_total(self) -> int:
        """Size of the file."""
        return self._file.size

    @property
    def bytes_done(self) -> int:
        """Bytes of the file read for what was polled."""
        return self._done

    def poll(self) -> Sequence[HandOvers]:
        """The next hand-overs, of about `batch_rows_max` rows; empty at the end."""
        items = list(self._batch())
        self._done = self._read if items else self.bytes_total
        return self._filed(items) if items else []

    def commit(self) -> None:
        """A file has no place to remember: taken in again, what is in already changes nothing."""

    def close(self) -> None:
        """Lets go of the file."""
        self._items = iter(())

    def _begin(self, items: Iterator[Item], filed: Callable[[list[Item]], Sequence[HandOvers]]) -> None:
        """From here on `poll` gives what `filed` makes of each batch of `items`, which are read from `_lines`."""
        self._items, self._filed = items, filed

    def _lines(self, after: int = 0) -> Iterator[Line]:
        """The lines of the file but for so many at its head."""
        for line in islice(self._file.lines(), after, None):
            self._read = line.end
            yield line

    def _rows_in(self, item: Item) -> int:
        """How many rows an item has."""
        return 1

    def _batch(self) -> Iterator[Item]:
        rows = 0
        for item in self._items:
            yield item
            rows += self._rows_in(item)
            if rows >= self._settings.batch_rows_max:
                return
