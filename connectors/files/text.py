"""Encodings of the files of registers: UTF-8 and CP932; what can't be decoded is never guessed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from connectors.errors import FileFormatError

#: What Python's cp932 makes of bytes that the code page doesn't define: control characters and private use.
#: Gaiji (F040 to F9FC, U+E000 to U+E757) are a municipality's own characters: which, nobody else can know.
_GUESSED: Final = {
    0x80,
    0xA0,
    *range(0xE000, 0xE758),
    *range(0xF8F0, 0xF8F4),
}
_GUESSED_CHARACTERS: Final = frozenset(map(chr, _GUESSED))


class Encoding(StrEnum):
    """Encodings that a file may have."""

    UTF_8 = "utf-8"
    CP932 = "cp932"


def decode(content: bytes, encoding: Encoding) -> str:
    """The text; UnicodeError for bytes that the encoding doesn't define."""
    text = content.decode(encoding)
    if encoding is Encoding.CP932 and not content.isascii() and not _GUESSED_CHARACTERS.isdisjoint(text):
        raise UnicodeError("not defined in cp932")
    return text


def encoding_of(name: str, line: bytes, header: str, wanted: Encoding | None) -> Encoding:
    """The encoding in which this line is the header; FileFormatError where it is none, or not in the one wanted."""
    for encoding in [wanted] if wanted else list(Encoding):
        if line == header.encode(encoding):
            return encoding
    within = f" in {wanted}" if wanted else ""
    raise FileFormatError(f"{name} does not begin with the header of its format{within}")
