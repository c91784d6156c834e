"""What the sources of files do alike: batch after batch, progress in bytes, and no place to remember."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from connectors.errors import FileNameError
from connectors.files.lines import Line, LineFile
from connectors.source import SubmissionBatch
from schemas.municipalities import is_municipality

#: What a source doesn't part: a line, a row, or the rows of one hand-over.
Item = TypeVar("Item")


class FileSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits; a broker takes a record of 1 MiB, and base64 or another encoding makes half as much again of a line."""

    line_bytes_max: int = Field(default=512 * 1024, gt=0, le=640 * 1024)
    submission_bytes_max: int = Field(default=512 * 1024, gt=0, le=640 * 1024)
    submission_rows_max: int = Field(default=5_000, gt=0, le=10_000)
    batch_rows_max: int = Field(default=5_000, gt=0, le=50_000)
    #: Lines that a message names before it says how many more there are.
    lines_named_max: int = Field(default=10, gt=0, le=1_000)


class FileSource(Generic[Item]):
    """A source but for its `open`, which looks the whole file through and then calls `_begin`."""

    def __init__(self, path: Path, settings: FileSettings | None = None) -> None:
        self._settings = settings or FileSettings()
        self._file = LineFile(path, self._settings.line_bytes_max)
        self._items: Iterator[Item] = iter(())
        self._filed: Callable[[list[Item]], Sequence[SubmissionBatch]] = lambda _: ()
        self._read = self._done = 0

    @property
    def bytes_total(self) -> int:
        """Size of the file."""
        return self._file.size

    @property
    def bytes_done(self) -> int:
        """Bytes of the file read for what was polled."""
        return self._done

    def poll(self) -> Sequence[SubmissionBatch]:
        """The next hand-overs, of about `batch_rows_max` rows; empty at the end."""
        items = list(self._batch())
        self._done = self._read if items else self.bytes_total
        return self._filed(items) if items else []

    def commit(self) -> None:
        """A file has no place to remember: taken in again, what is in already changes nothing."""

    def close(self) -> None:
        """Lets go of the file."""
        self._items = iter(())

    def _begin(self, items: Iterator[Item], filed: Callable[[list[Item]], Sequence[SubmissionBatch]]) -> None:
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


def municipality_of(name: str, prefix: str, suffix: str, given: str | None = None) -> str:
    """`given`, or the six digits of `<prefix>_<six digits>[_...].<suffix>`.

    FileNameError where neither is there, or the code has no right check digit.
    """
    found = given or _in_name(name, prefix, suffix)
    if not is_municipality(found):
        raise FileNameError(f"{name}: {found} is no municipality's code (JIS X 0402, six digits)")
    return found


def _in_name(name: str, prefix: str, suffix: str) -> str:
    match = re.fullmatch(rf"{prefix}_([0-9]{{6}})(_.*)?\.{suffix}", name)
    if match is None:
        raise FileNameError(
            f"{name} does not say whose file it is: name it {prefix}_<municipality>.{suffix}, or give the municipality"
        )
    return match[1]
