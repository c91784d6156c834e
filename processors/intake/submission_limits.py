"""The longest text that each field of a submission may have, and how many persons one submission may name.

Every field of text has a limit, so one record can't bring an unbounded value into the mesh: what intake accepts is
copied into the change of each person. `formats` checks the columns that have a format, each with a code of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import contiguous, row_indices
from processors.intake import formats, validation
from processors.intake.validation_codes import ValidationCode
from schemas.declare import MEMBERS, MEMBERS_MAX
from schemas.submission_schemas import GENERATED_SCHEMAS
from schemas.systems.model import SEALED

#: Maximum number of persons of a notice; no household, not even of an institution, is larger.
PERSONS_MAX: Final = 1000

#: The same for each list of persons that a submission may have.
_PERSONS_MAX: Final = {"rows": PERSONS_MAX, "persons": PERSONS_MAX, MEMBERS: MEMBERS_MAX}

#: Maximum number of dead letters that one operator command names.
DEAD_LETTERS_MAX: Final = 100_000

FILE: Final = "file"

#: Maximum length in characters of each field of text that no declaration of an entity names.
_FIXED: Final[Mapping[str, int]] = MappingProxyType(
    {
        # Where a submission comes from. A name of a file has at most 255 bytes on any usual file system.
        FILE: 255,
        "encoding": 16,
        "fault": 16,
        # Base64 of a line that a source couldn't parse; a line has at most 512 KiB.
        "raw": 700_000,
        # A notice and its persons; the number of a declared event is as long as that of a notice.
        "number": 32,
        "notice": 32,
        "municipality": 6,
        "reason": 500,
        "effective_on": 10,
        "recorded_on": 10,
        "household": 12,
        "local_number": 13,
        "code": 11,
        MEMBERS: 11,
        "name": formats.NAME_MAX,
        "kana": formats.KANA_MAX,
        "birth_date": 10,
        "sex": 1,
        "relationship": formats.RELATIONSHIP_MAX,
        "address": formats.ADDRESS_MAX,
        "moved_from": 6,
        "moved_to": 6,
        "protected": 1,
        "cancels": 32,
        # Enrolments and accounts.
        "domain": 32,
        "since": 10,
        "event": 16,
        "account": 64,
        "holder_kana": formats.KANA_MAX,
        "bank": 4,
        "branch": 3,
        "type": formats.ACCOUNT_TYPE_MAX,
        # Days.
        "day": 10,
        # Operator commands; `value` is a whole record, sealed, base64.
        "command": 16,
        "schema": 64,
        "topic": 249,
        "step": 64,
        "digest": 24,
        "digests": 24,
        "value": 4_000_000,
        "person": 64,
        "registered_in": 6,
        # All fields of a submission, sealed by its submitter.
        SEALED: 1_000_000,
    }
)


def _limits() -> Mapping[str, int]:
    """Return the fixed limits and those of declared fields; of two fields with one name the longer one counts."""
    limits = dict(_FIXED)
    for system in GENERATED_SCHEMAS.values():
        lengths = [("event", len(name)) for name in system.submitted_events]
        lengths += [(field.name, field.characters_max) for field in system.submitted_fields]
        for name, length in lengths:
            limits[name] = max(limits.get(name, 0), length)
    return MappingProxyType(limits)


#: Maximum length in characters of each field of text, by its name in the schemas of submissions.
CHARACTERS_MAX: Final = _limits()


def errors(table: pa.Table) -> pa.Array:
    """Return an error for each submission with a text that is longer than its field may have it; null for the others.

    `table` has the columns of a schema of submissions. Raise KeyError for a field of text without a limit.
    """
    return validation.error_where(ValidationCode.TEXT_LONG, pc.invert(texts_fit(table)))


def texts_fit(table: pa.Table) -> pa.Array:
    """Return for each row whether every text in these columns is within its limit, also in records and lists."""
    fits = (_rows_fit(name, contiguous(table.column(name))) for name in table.column_names)
    return reduce(pc.and_, fits)


def is_within(values: pa.Array, field: str) -> pa.Array:
    """Return whether each text is at most as long as this field may have it; null is."""
    if _are_short(values, field):
        return pa.repeat(pa.scalar(True), len(values))
    return pc.fill_null(pc.less_equal(pc.utf8_length(values), CHARACTERS_MAX[field]), True)


def _are_short(values: pa.Array, field: str) -> bool:
    # A text has at most as many characters as bytes: counting bytes is enough for nearly all columns.
    return (
        values.null_count == len(values)
        or (pc.max(pc.binary_length(values)).as_py() or 0) <= CHARACTERS_MAX[field]
    )


def names_too_many(table: pa.Table) -> pa.Array:
    """Return whether each submission names more persons than it may."""
    lists = {name: contiguous(table.column(name)) for name in _PERSONS_MAX if name in table.column_names}
    too_many = [
        pc.fill_null(pc.greater(pc.list_value_length(column), _PERSONS_MAX[name]), False)
        for name, column in lists.items()
    ]
    return reduce(pc.or_, too_many, pa.repeat(pa.scalar(False), table.num_rows))


def _rows_fit(name: str, column: pa.Array) -> pa.Array:
    """Return for each value of a column whether all its texts are within their limits."""
    length = len(column)
    fits = pa.repeat(pa.scalar(True), length)
    for field, texts, rows in _texts_of(name, column, row_indices(length)):
        if not _are_short(texts, field) and pc.all(within := is_within(texts, field)).as_py() is False:
            over = rows.filter(pc.invert(within))
            fits = pc.and_(fits, pc.invert(pc.is_in(row_indices(length), value_set=over)))
    return fits


def _texts_of(name: str, column: pa.Array, rows: pa.Array) -> Iterator[tuple[str, pa.Array, pa.Array]]:
    """Yield the texts in a column with the name of their field, and the row (int64) of each."""
    if pa.types.is_list(column.type):
        yield from _texts_of(
            name, column.flatten(), rows.take(pc.list_parent_indices(column).cast(pa.int64()))
        )
    elif pa.types.is_struct(column.type):
        for field, values in zip(column.type, column.flatten(), strict=True):
            yield from _texts_of(field.name, values, rows)
    elif pa.types.is_string(column.type):
        yield name, column, rows
