"""One row of the gateway server's CSV: its columns unchanged, or the whole row raw with a fault."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from connectors.files.lines import Line
from connectors.files.parsing import (
    COLUMNS_FAULT,
    ENCODING_FAULT,
    Encoding,
    decode,
    split_columns,
    to_base64,
)

HEADER: Final = (
    "通番,届出番号,市区町村コード,異動事由,異動日,届出日,世帯番号,宛名番号,住民票コード,氏名,氏名カナ,生年月日,性別,続柄,住所,"
    "前住所地コード,転出先コード,支援措置,取消対象届出番号"
)
COLUMN_COUNT: Final = HEADER.count(",") + 1
NOTICE: Final = 1
CODE: Final = 8
#: Format of a notice number. Rows with the same number belong together; a row without one is a submission of its own.
_NOTICE_NUMBER: Final = re.compile(r"[A-Za-z0-9-]{1,32}")


class CsvRow(NamedTuple):
    """A row: its line number, its `COLUMN_COUNT` columns, and its size in bytes.

    A row with a fault has its bytes as `raw` (base64). Of its columns it has only number and notice, if they
    are readable; the others are None.
    """

    line: int
    columns: tuple[str | None, ...]
    size_bytes: int
    raw: str | None = None
    fault: str | None = None

    @property
    def notice(self) -> str | None:
        """The notice number; None if it is not in the format."""
        number = self.columns[NOTICE]
        return number if number and _NOTICE_NUMBER.fullmatch(number) else None

    @property
    def code(self) -> str | None:
        """The resident record code; None if the column is empty or unreadable."""
        return self.columns[CODE] or None


def parse_row(line: Line, encoding: Encoding) -> CsvRow:
    """Return the line as a row. What cannot be parsed becomes a row with a fault; no error is raised."""
    try:
        columns = split_columns(decode(line.content, encoding))
    except UnicodeError:
        return _row_with_fault(line, ENCODING_FAULT)
    if columns is None or len(columns) != COLUMN_COUNT:
        return _row_with_fault(line, COLUMNS_FAULT)
    return CsvRow(line.number, tuple(columns), len(line.content))


def _row_with_fault(line: Line, fault: str) -> CsvRow:
    # Commas and digits are the same bytes in both encodings, so the first columns are readable nevertheless.
    readable = [_ascii_text(column) for column in line.content.split(b",", NOTICE + 1)[: NOTICE + 1]]
    columns = (*readable, *[None] * (COLUMN_COUNT - len(readable)))
    return CsvRow(line.number, columns, len(line.content), to_base64(line.content), fault)


def _ascii_text(column: bytes) -> str | None:
    return column.strip(b'"').decode("ascii") if column.isascii() else None
