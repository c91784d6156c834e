"""Submissions from rows of the gateway server's CSV: consecutive rows of one notice are one submission."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from connectors.errors import FileLimitError
from connectors.files.source import FileSettings
from connectors.juki_cs.csv_row import CsvRow
from schemas.catalogue import catalogue

SCHEMA = "juki-cs-notice"


def group_rows(file: str, rows: Iterable[CsvRow], settings: FileSettings) -> Iterator[list[CsvRow]]:
    """Yield the rows of each submission: consecutive rows with the same notice number.

    A person that occurs again under the same number starts a new submission: the notice was submitted twice. Raise
    FileLimitError for a submission with more rows or bytes than a record may have.
    """
    submission: list[CsvRow] = []
    persons: set[str] = set()
    size_bytes = 0
    for row in rows:
        if submission and not _belongs_to(submission[0], row, persons):
            yield submission
            submission, persons, size_bytes = [], set(), 0
        submission.append(row)
        persons.update([row.code] if row.code else [])
        size_bytes += row.size_bytes
        if size_bytes > settings.submission_bytes_max or len(submission) > settings.submission_rows_max:
            raise FileLimitError(
                f"{file}: the notice that begins in line {submission[0].line} has too many rows or bytes"
            )
    if submission:
        yield submission


def _belongs_to(first: CsvRow, row: CsvRow, persons: set[str]) -> bool:
    return row.notice is not None and row.notice == first.notice and row.code not in persons


def submissions_table(file: str, encoding: str, submissions: list[list[CsvRow]]) -> pa.Table:
    """Return a table of schema juki-cs-notice with one row per submission."""
    schema = catalogue().arrow_schema(SCHEMA)
    list_offsets, rows_before = [0], 0
    for submission in submissions:
        rows_before += len(submission)
        list_offsets.append(rows_before)
    row_type = schema.field("rows").type.value_type
    rows = _rows_array([row for submission in submissions for row in submission], row_type)
    columns = {
        "file": pa.repeat(file, len(submissions)),
        "line": pa.array([submission[0].line for submission in submissions], pa.int32()),
        "encoding": pa.repeat(encoding, len(submissions)),
        "rows": pa.ListArray.from_arrays(pa.array(list_offsets, pa.int32()), rows),
    }
    return pa.Table.from_arrays(
        [columns[field.name].cast(field.type) for field in schema],
        schema=schema,
    )


def _rows_array(rows: list[CsvRow], row_type: pa.StructType) -> pa.StructArray:
    columns = [
        [row.line for row in rows],
        *zip(*(row.columns for row in rows), strict=True),
        [row.raw for row in rows],
        [row.fault for row in rows],
    ]
    fields = list(row_type)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=fields)
