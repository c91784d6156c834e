"""Notices as CSV rows from gateway servers: reading and validation of the rows, and of each notice as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import empty_to_null, list_offsets, row_indices, struct_fields
from processors.intake import canonical, facts, formats, validation
from processors.intake.submission_limits import PERSONS_MAX
from processors.intake.submissions import Submissions, equal_or_both_null
from processors.intake.validation import RuleCheck
from processors.intake.validation_codes import ValidationCode
from schemas.reasons import Reason

#: Columns of a row in the order of the file; 通番 (`number`) is not part of the content.
COLUMNS: Final = (
    "number", "notice", "municipality", "reason", "effective_on", "recorded_on", "household", "local_number", "code",
    "name", "kana", "birth_date", "sex", "relationship", "address", "moved_from", "moved_to", "protected", "cancels",
)  # fmt: skip

#: Columns that must be the same in every row of a notice.
NOTICE_COLUMNS: Final = (
    "notice", "municipality", "reason", "effective_on", "recorded_on", "moved_from", "moved_to", "cancels",
)  # fmt: skip

#: Maximum number of days from the day of record to the day of effect.
EFFECTIVE_AFTER_RECORD_MAX_DAYS: Final = 60

#: Maximum number of days from the day of receipt to the day of record: clocks and midnights differ a little.
RECORDED_AFTER_RECEIPT_MAX_DAYS: Final = 1

_SIMPLE: Final[dict[str, tuple[ValidationCode, formats.Check]]] = {
    "number": (ValidationCode.FORM_NUMBER, formats.is_number),
    "notice": (ValidationCode.FORM_NOTICE, formats.is_notice),
    "municipality": (ValidationCode.FORM_MUNICIPALITY, formats.is_municipality_code),
    "household": (ValidationCode.FORM_HOUSEHOLD, formats.is_household),
    "local_number": (ValidationCode.FORM_LOCAL_NUMBER, formats.is_local_number),
    "code": (ValidationCode.FORM_CODE, formats.is_resident_code),
    "name": (ValidationCode.FORM_NAME, formats.is_name),
    "kana": (ValidationCode.FORM_KANA, formats.is_kana),
    "sex": (ValidationCode.FORM_SEX, formats.is_sex),
    "relationship": (ValidationCode.FORM_RELATIONSHIP, formats.is_relationship),
    "address": (ValidationCode.FORM_ADDRESS, formats.is_address),
    "protected": (ValidationCode.FORM_PROTECTED, formats.is_flag),
}


@dataclass(frozen=True)
class CsvNotices:
    """The rows of all submissions, concatenated.

    `parents` (int64) has the index of each row's submission, `lengths` the number of rows of each submission.
    """

    columns: dict[str, pa.Array]
    parents: pa.Array
    lengths: pa.Array

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def days(self) -> dict[str, pa.Array]:
        """The three dates (date32), null where invalid."""
        return {
            name: formats.to_date(self.columns[name])
            for name in ("effective_on", "recorded_on", "birth_date")
        }

    @cached_property
    def reasons(self) -> pa.Array:
        """Indices of the reasons, null where unknown."""
        return facts.reason_indices(self.columns["reason"])

    @cached_property
    def first(self) -> pa.Array:
        """Index of each submission's first row; null where it has none."""
        return pc.index_in(row_indices(len(self.lengths)), value_set=self.parents)


def csv_notices_of(submissions: Submissions) -> CsvNotices:
    """Return all rows of the submissions."""
    lists = submissions.column("rows")
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return CsvNotices(struct_fields(lists.flatten()), pc.list_parent_indices(lists).cast(pa.int64()), lengths)


def validate(submissions: Submissions, rows: CsvNotices) -> pa.Array:
    """Return the first error of each submission: number of rows, format, submitter's rights, contradictions, dates."""
    count = len(submissions)
    row_errors = validation.first_error(_checks(rows), len(rows))
    empty = validation.error_where(ValidationCode.COLUMNS, pc.equal(rows.lengths, 0))
    many = validation.error_where(ValidationCode.PERSONS_MANY, pc.greater(rows.lengths, PERSONS_MAX))
    row_error = validation.error_per_submission(row_errors, rows.parents, count)
    foreign = pc.not_equal(rows.columns["municipality"], submissions.municipality.take(rows.parents))
    rights = validation.error_if_any_row(ValidationCode.NOT_SUBMITTER, foreign, rows.parents, count)
    effective, recorded = (rows.days[name].take(rows.first) for name in ("effective_on", "recorded_on"))
    return validation.first_of(
        [
            empty,
            many,
            row_error,
            rights,
            *_contradictions(rows, count),
            *errors_of_days(effective, recorded, submissions.received_on),
        ]
    )


def _checks(rows: CsvNotices) -> list[RuleCheck]:
    checks: dict[str, list[RuleCheck]] = {
        name: [(code, check(rows.columns[name]))] for name, (code, check) in _SIMPLE.items()
    }
    checks["reason"] = [(ValidationCode.FORM_REASON, pc.is_valid(rows.reasons))]
    for name, code in (
        ("effective_on", ValidationCode.FORM_EFFECTIVE_ON),
        ("recorded_on", ValidationCode.FORM_RECORDED_ON),
        ("birth_date", ValidationCode.FORM_BIRTH_DATE),
    ):
        checks[name] = [(code, pc.is_valid(rows.days[name]))]
    for name in ("moved_from", "moved_to", "cancels"):
        column = rows.columns[name]
        checks[name] = checks_by_reason(name, empty_to_null(column), rows.reasons, pc.is_valid(column))
    return [*_source_checks(rows), *(check for name in COLUMNS for check in checks[name])]


def _source_checks(rows: CsvNotices) -> list[RuleCheck]:
    """Return the checks that the source could parse each row."""
    fault = rows.columns["fault"]
    code_by_fault = (("columns", ValidationCode.COLUMNS), ("encoding", ValidationCode.ENCODING))
    checks = [(code, pc.fill_null(pc.not_equal(fault, name), True)) for name, code in code_by_fault]
    return [*checks, (ValidationCode.UNREADABLE, pc.is_null(fault))]


def checks_by_reason(name: str, values: pa.Array, reasons: pa.Array, readable: pa.Array) -> list[RuleCheck]:
    """Return the checks of `moved_from`, `moved_to` or `cancels`, which only some reasons require or allow.

    `values` are null where not given; `readable` is false where the source could not parse the column.
    """
    absent = pc.and_(pc.is_null(values), readable)
    if name == "cancels":
        cancelling = facts.is_reason(reasons, Reason.CANCELLED)
        return [
            (ValidationCode.FORM_CANCELS, pc.or_(absent, pc.fill_null(formats.is_notice(values), False))),
            (ValidationCode.CANCELS_MISSING, pc.or_(pc.invert(cancelling), pc.is_valid(values))),
            (ValidationCode.CANCELS_UNEXPECTED, pc.or_(cancelling, pc.is_null(values))),
        ]
    requiring_reason, invalid_code, missing_code = {
        "moved_from": (Reason.MOVED_IN, ValidationCode.FORM_MOVED_FROM, ValidationCode.MOVED_FROM_MISSING),
        "moved_to": (Reason.MOVED_OUT, ValidationCode.FORM_MOVED_TO, ValidationCode.MOVED_TO_MISSING),
    }[name]
    required = facts.is_reason(reasons, requiring_reason)
    return [
        (invalid_code, pc.or_(absent, pc.fill_null(formats.is_place_code(values), False))),
        (missing_code, pc.or_(pc.invert(required), pc.is_valid(values))),
    ]


def _contradictions(rows: CsvNotices, count: int) -> list[pa.Array]:
    """Return errors of submissions whose rows differ in a column of the notice, or name a person twice."""
    if len(rows) <= 1 or pc.max(rows.lengths).as_py() <= 1:
        return []  # No submission has two rows. The number of rows alone doesn't show that: one may have none.
    of_first = rows.first.take(rows.parents)
    notice_columns = [rows.columns[name] for name in NOTICE_COLUMNS]
    differ = reduce(
        pc.or_,
        (pc.invert(equal_or_both_null(column, column.take(of_first))) for column in notice_columns),
    )
    return [
        validation.error_if_any_row(ValidationCode.ROWS_DIFFER, differ, rows.parents, count),
        validation.error_if_any_row(
            ValidationCode.PERSON_REPEATED,
            is_repeated_person(rows.columns["code"], rows.parents),
            rows.parents,
            count,
        ),
    ]


def is_repeated_person(persons: pa.Array, parents: pa.Array) -> pa.Array:
    """Return whether an earlier row of the same submission has the same person."""
    keys = pc.binary_join_element_wise(parents.cast(pa.string()), pc.fill_null(persons, ""), "/")
    first = pc.index_in(keys, value_set=keys)
    return pc.not_equal(first.cast(pa.int64()), row_indices(len(keys)))


def errors_of_days(effective: pa.Array, recorded: pa.Array, received: pa.Array) -> list[pa.Array]:
    """Return the errors of the days of effect, of record and of receipt (date32) of each notice.

    A notice takes effect at most 60 days after it was recorded, and is recorded at most one day after it was received:
    everything that takes effect before a notice of a distant year would come too late for ever.
    """
    return [
        validation.error_if_days_after(
            ValidationCode.EFFECTIVE_LATE, effective, recorded, EFFECTIVE_AFTER_RECORD_MAX_DAYS
        ),
        validation.error_if_days_after(
            ValidationCode.RECORDED_IN_FUTURE, recorded, received, RECORDED_AFTER_RECEIPT_MAX_DAYS
        ),
    ]


def canonical_form(rows: CsvNotices, *, all_valid: bool) -> pa.Array:
    """Return the content of each submission without 通番, file and line.

    `all_valid` means that all submissions are valid: their values have no control characters, and nothing is `raw`.
    """
    content = [rows.columns[name] for name in (*COLUMNS[1:], *(() if all_valid else ("raw",)))]
    return canonical.join_rows(
        canonical.join_columns(content, without_control_characters=all_valid), list_offsets(rows.lengths)
    )


def notice_numbers(rows: CsvNotices) -> pa.Array:
    """Return the notice number of each submission where it can be read, else null."""
    return valid_notice_numbers(rows.columns["notice"].take(rows.first))


def valid_notice_numbers(numbers: pa.Array) -> pa.Array:
    """Return the notice numbers in the right format; null for all others."""
    return pc.if_else(pc.fill_null(formats.is_notice(numbers), False), numbers, None)
