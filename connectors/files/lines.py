"""Lines of a file as bytes. At most one line is in memory, and no line may be longer than the limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from connectors.errors import (
    BinaryFileError,
    EmptyFileError,
    FileLimitError,
    FileNameError,
    UnreadableFileError,
)
from schemas.characters import HIDDEN

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its line end (CRLF or LF): its number from 1, and the offset in bytes after it (`end`)."""

    number: int
    content: bytes
    end: int


class LineFile:
    """A file that is read line by line. Errors name its base name and a line number, never content."""

    def __init__(self, path: Path, line_bytes_max: int) -> None:
        self.path = path
        self._line_bytes_max = line_bytes_max

    @property
    def name(self) -> str:
        """The base name, which records carry as `file`."""
        return self.path.name

    @property
    def size(self) -> int:
        """Size in bytes; 0 if the file does not exist."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def lines(self) -> Iterator[Line]:
        """Yield all lines that are not empty, without a byte order mark.

        Raise FileNameError before the first, and EmptyFileError, BinaryFileError, FileLimitError or UnreadableFileError
        as soon as it is detected.
        """
        _check_name(self.name)
        try:
            with self.path.open("rb") as file:
                yield from self._read(file)
        except OSError as error:
            raise UnreadableFileError(f"{self.name}: {error.strerror or 'not readable'}") from None

    def _read(self, file: BinaryIO) -> Iterator[Line]:
        number = end = yielded = 0
        # Two bytes more than a line may have, for its line end: a longer line is rejected before all of it is read.
        while raw := file.readline(self._line_bytes_max + 2):
            number, end = number + 1, end + len(raw)
            self._check(raw, number)
            content = raw.removesuffix(b"\n").removesuffix(b"\r")
            content = content.removeprefix(BOM) if number == 1 else content
            if content:
                yielded += 1
                yield Line(number, content, end)
        if not yielded:
            raise EmptyFileError(f"{self.name} is empty")

    def _check(self, raw: bytes, number: int) -> None:
        if b"\0" in raw:
            raise BinaryFileError(f"{self.name} is a binary file (a NUL byte in line {number})")
        if len(raw.removesuffix(b"\n").removesuffix(b"\r")) > self._line_bytes_max:
            raise FileLimitError(
                f"{self.name}: line {number} is longer than {self._line_bytes_max:,} bytes; is it of another format?"
            )


def _check_name(name: str) -> None:
    """Raise FileNameError for a name with hidden characters: every submission of the file would carry it."""
    hidden = HIDDEN.search(name)
    if hidden:
        raise FileNameError(
            f"{name}: the name has U+{ord(hidden[0]):04X}, which can't be seen: rename the file"
        )
