"""Lines of a file as bytes, none longer than the limit in memory, and the look at the whole file before any use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from connectors.errors import BinaryFileError, EmptyFileError, FileLimitError, UnreadableFileError

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end (CRLF or LF); `number` counts from 1, `end` is the offset in bytes after it."""

    number: int
    content: bytes
    end: int


class LineFile:
    """A file read line by line. Errors name its base name and a line number, never what stands there."""

    def __init__(self, path: Path, line_bytes_max: int) -> None:
        self.path = path
        self._line_bytes_max = line_bytes_max

    @property
    def name(self) -> str:
        """The base name, as records carry it."""
        return self.path.name

    @property
    def size(self) -> int:
        """Bytes; 0 where there is no such file."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def lines(self) -> Iterator[Line]:
        """All lines that aren't empty, without a byte order mark.

        EmptyFileError, BinaryFileError, FileLimitError or UnreadableFileError as soon as it shows.
        """
        try:
            with self.path.open("rb") as file:
                yield from self._read(file)
        except OSError as error:
            raise UnreadableFileError(f"{self.name}: {error.strerror or 'not readable'}") from None

    def _read(self, file: BinaryIO) -> Iterator[Line]:
        number = end = found = 0
        while raw := file.readline(self._line_bytes_max + 2):
            number, end = number + 1, end + len(raw)
            self._check(raw, number)
            content = raw.removesuffix(b"\n").removesuffix(b"\r")
            content = content.removeprefix(BOM) if number == 1 else content
            if content:
                found += 1
                yield Line(number, content, end)
        if not found:
            raise EmptyFileError(f"{self.name} is empty")

    def _check(self, raw: bytes, number: int) -> None:
        if b"\0" in raw:
            raise BinaryFileError(f"{self.name} is a binary file (a NUL byte in line {number})")
        if len(raw.removesuffix(b"\n").removesuffix(b"\r")) > self._line_bytes_max:
            raise FileLimitError(
                f"{self.name}: line {number} is longer than {self._line_bytes_max:,} bytes; is it of another format?"
            )
