"""One row of the gateway server's CSV: its columns as they came, or the whole row raw with a fault."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from connectors.files.lines import Line
from connectors.files.parsing import COLUMNS, ENCODING, Encoding, as_it_came, columns_of, decode

HEADER: Final = (
    "通番,届出番号,市区町村コード,異動事由,異動日,届出日,世帯番号,宛名番号,住民票コード,氏名,氏名カナ,生年月日,性別,続柄,住所,"
    "前住所地コード,転出先コード,支援措置,取消対象届出番号"
)
COLUMN_COUNT: Final = HEADER.count(",") + 1
NOTICE: Final = 1
CODE: Final = 8
#: Form of a notice number, by which rows belong together; a row without one stands alone.
_NUMBER: Final = re.compile(r"[0-9]{5}-[0-9]+", re.ASCII)


class CsvRow(NamedTuple):
    """`columns` has `COLUMN_COUNT` values; of a row with a fault only number and notice, where readable."""

    line: int
    columns: tuple[str | None, ...]
    size: int
    raw: str | None = None
    fault: str | None = None

    @property
    def notice(self) -> str | None:
        """The notice's number, where it is one."""
        number = self.columns[NOTICE]
        return number if number and _NUMBER.fullmatch(number) else None

    @property
    def code(self) -> str | None:
        """Resident record code, where there is any."""
        return self.columns[CODE] or None


def row_of(line: Line, encoding: Encoding) -> CsvRow:
    """The line as a row; never an error."""
    try:
        columns = columns_of(decode(line.content, encoding))
    except UnicodeError:
        return _faulty(line, ENCODING)
    if columns is None or len(columns) != COLUMN_COUNT:
        return _faulty(line, COLUMNS)
    return CsvRow(line.number, tuple(columns), len(line.content))


def _faulty(line: Line, fault: str) -> CsvRow:
    """Commas and digits are the same bytes in both encodings, so the first columns can be read nevertheless."""
    found = [_ascii(column) for column in line.content.split(b",", NOTICE + 1)[: NOTICE + 1]]
    columns = (*found, *[None] * (COLUMN_COUNT - len(found)))
    return CsvRow(line.number, columns, len(line.content), as_it_came(line.content), fault)


def _ascii(column: bytes) -> str | None:
    return column.strip(b'"').decode("ascii") if column.isascii() else None
