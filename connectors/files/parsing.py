"""Bytes of a file into text and columns: encodings, rows of CSV, and what can't be parsed, kept as it came."""

from __future__ import annotations

import base64
import csv
from enum import StrEnum
from typing import Final

from connectors.errors import FileFormatError

#: Codes of faults, as intake knows them.
ENCODING = "encoding"
COLUMNS = "columns"
NOT_JSON = "json"
FORM = "form"
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


def columns_of(text: str) -> list[str] | None:
    """The columns of a row; None where its quotation marks don't fit together."""
    if '"' not in text:
        return text.split(",")
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def as_it_came(content: bytes) -> str:
    """Base64 of a row or line without its end."""
    return base64.b64encode(content).decode("ascii")
