"""The common part of file sources: settings, batches, progress in bytes, and the municipality in the file name."""

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

#: The unit that a batch does not split: a line, a row, or the rows of one submission.
Item = TypeVar("Item")


class FileSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits of file sources.

    A broker accepts a record of 1 MiB, and base64 or another encoding makes a line up to half as large again.
    """

    line_bytes_max: int = Field(default=512 * 1024, gt=0, le=640 * 1024)
    submission_bytes_max: int = Field(default=512 * 1024, gt=0, le=640 * 1024)
    submission_rows_max: int = Field(default=5_000, gt=0, le=10_000)
    batch_rows_max: int = Field(default=5_000, gt=0, le=50_000)
    #: Lines that an error message names; of the others it has the number.
    lines_named_max: int = Field(default=10, gt=0, le=1_000)


class FileSource(Generic[Item]):
    """A source without `open`, which each file format defines: check the whole file, then call `_start_polling`."""

    def __init__(self, path: Path, settings: FileSettings | None = None) -> None:
        self._settings = settings or FileSettings()
        self._file = LineFile(path, self._settings.line_bytes_max)
        self._items: Iterator[Item] = iter(())
        self._to_batches: Callable[[list[Item]], Sequence[SubmissionBatch]] = lambda _: ()
        self._bytes_read = self._bytes_done = 0

    @property
    def bytes_total(self) -> int:
        """Size of the file in bytes."""
        return self._file.size

    @property
    def bytes_done(self) -> int:
        """Bytes of the file read for the submissions polled so far."""
        return self._bytes_done

    def poll(self) -> Sequence[SubmissionBatch]:
        """Return the next submissions, of about `batch_rows_max` rows; nothing at the end."""
        items = list(self._next_items())
        self._bytes_done = self._bytes_read if items else self.bytes_total
        return self._to_batches(items) if items else []

    def commit(self) -> None:
        """Do nothing: a file has no position to store, and ingesting it again is harmless."""

    def close(self) -> None:
        """Release the file."""
        self._items = iter(())

    def _start_polling(
        self, items: Iterator[Item], to_batches: Callable[[list[Item]], Sequence[SubmissionBatch]]
    ) -> None:
        """Let `poll` return the batches that `to_batches` makes of the next items, which are read from `_lines`."""
        self._items, self._to_batches = items, to_batches

    def _lines(self, skip: int = 0) -> Iterator[Line]:
        """Yield the lines of the file without the first `skip` ones, and count the bytes read."""
        for line in islice(self._file.lines(), skip, None):
            self._bytes_read = line.end
            yield line

    def _rows_in(self, item: Item) -> int:
        """Return the number of rows in an item."""
        return 1

    def _next_items(self) -> Iterator[Item]:
        rows = 0
        for item in self._items:
            yield item
            rows += self._rows_in(item)
            if rows >= self._settings.batch_rows_max:
                return


def municipality_of(file: str, prefix: str, suffix: str, municipality: str | None = None) -> str:
    """Return the municipality passed in, or the six digits in `<prefix>_<six digits>[_...].<suffix>`.

    Raise FileNameError if there is neither, or if the code's check digit is wrong.
    """
    code = municipality or _code_in_name(file, prefix, suffix)
    if not is_municipality(code):
        raise FileNameError(f"{file}: {code} is not a municipality code (JIS X 0402, six digits)")
    return code


def _code_in_name(file: str, prefix: str, suffix: str) -> str:
    match = re.fullmatch(rf"{prefix}_([0-9]{{6}})(_.*)?\.{suffix}", file)
    if match is None:
        raise FileNameError(
            f"{file} does not name its municipality: rename it {prefix}_<municipality>.{suffix}, or pass --municipality"
        )
    return match[1]
