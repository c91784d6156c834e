"""Text and columns from the bytes of a file, and the faults of rows that cannot be parsed."""

from __future__ import annotations

import base64
import csv
from enum import StrEnum
from typing import Final

from connectors.errors import FileFormatError

#: Fault codes that rows and lines carry to intake.
ENCODING_FAULT = "encoding"
COLUMNS_FAULT = "columns"
JSON_FAULT = "json"
FORMAT_FAULT = "form"
#: Characters that Python's cp932 returns for bytes that the code page does not define (control characters, private
#: use), and gaiji (F040 to F9FC, U+E000 to U+E757): a municipality's own characters, which only it can identify.
_UNDEFINED_CODE_POINTS: Final = {
    0x80,
    0xA0,
    *range(0xE000, 0xE758),
    *range(0xF8F0, 0xF8F4),
}
_UNDEFINED_CHARACTERS: Final = frozenset(map(chr, _UNDEFINED_CODE_POINTS))


class Encoding(StrEnum):
    """Encodings that a file may have."""

    UTF_8 = "utf-8"
    CP932 = "cp932"


def detect_encoding(file: str, first_line: bytes, header: str, expected: Encoding | None) -> Encoding:
    """Return the encoding in which the first line is the header.

    Raise FileFormatError if the line is not the header, or not in the expected encoding.
    """
    for encoding in [expected] if expected else list(Encoding):
        if first_line == header.encode(encoding):
            return encoding
    in_expected = f" in {expected}" if expected else ""
    raise FileFormatError(f"{file} does not begin with the header of its format{in_expected}")


def decode(content: bytes, encoding: Encoding) -> str:
    """Decode a line. Raise UnicodeError for bytes that the encoding does not define."""
    text = content.decode(encoding)
    if encoding is Encoding.CP932 and not content.isascii() and not _UNDEFINED_CHARACTERS.isdisjoint(text):
        raise UnicodeError("not defined in cp932")
    return text


def split_columns(text: str) -> list[str] | None:
    """Return the columns of a CSV row; None if its quotation marks do not match."""
    if '"' not in text:
        return text.split(",")
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def to_base64(content: bytes) -> str:
    """Encode a row or line, without its line end, as the `raw` field carries it."""
    return base64.b64encode(content).decode("ascii")
