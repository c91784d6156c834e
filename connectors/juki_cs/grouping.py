"""Rows that are one hand-over of one notice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from connectors.errors import FileLimitError
from connectors.files.source import FileSettings
from connectors.juki_cs.csv_row import CsvRow
from schemas.catalogue import catalogue

SCHEMA = "juki-cs-notice"


def group_rows(file: str, rows: Iterable[CsvRow], settings: FileSettings) -> Iterator[list[CsvRow]]:
    """Rows of one notice that follow each other; a person repeated begins another hand-over of it.

    FileLimitError for a hand-over that would be no record: too many rows or bytes.
    """
    current: list[CsvRow] = []
    persons: set[str] = set()
    size = 0
    for row in rows:
        if current and not _joins(current[0], row, persons):
            yield current
            current, persons, size = [], set(), 0
        current.append(row)
        persons.update([row.code] if row.code else [])
        size += row.size
        if size > settings.submission_bytes_max or len(current) > settings.submission_rows_max:
            raise FileLimitError(
                f"{file}: the notice that begins in line {current[0].line} has too many rows"
            )
    if current:
        yield current


def _joins(first: CsvRow, row: CsvRow, persons: set[str]) -> bool:
    return row.notice is not None and row.notice == first.notice and row.code not in persons


def table_of(file: str, encoding: str, notices: list[list[CsvRow]]) -> pa.Table:
    """A row per hand-over, of schema juki-cs-notice."""
    schema = catalogue().arrow_schema(SCHEMA)
    starts, place = [0], 0
    for notice in notices:
        place += len(notice)
        starts.append(place)
    rows = _rows([row for notice in notices for row in notice], schema.field("rows").type.value_type)
    columns = {
        "file": pa.repeat(file, len(notices)),
        "line": pa.array([notice[0].line for notice in notices], pa.int32()),
        "encoding": pa.repeat(encoding, len(notices)),
        "rows": pa.ListArray.from_arrays(pa.array(starts, pa.int32()), rows),
    }
    return pa.Table.from_arrays(
        [columns[field.name].cast(field.type) for field in schema],
        schema=schema,
    )


def _rows(rows: list[CsvRow], kind: pa.StructType) -> pa.StructArray:
    values = [
        [row.line for row in rows],
        *zip(*(row.columns for row in rows), strict=True),
        [row.raw for row in rows],
        [row.fault for row in rows],
    ]
    fields = list(kind)
    arrays = [pa.array(column, field.type) for column, field in zip(values, fields, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=fields)
