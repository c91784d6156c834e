"""The first error of each submission, computed column by column.

Errors are a column of int16: the index of the error among the codes of `ValidationCode` and of the declared fields,
null where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, row_indices
from processors.intake.declared_codes import DECLARED_CODES, DeclaredCode
from processors.intake.validation_codes import ValidationCode

#: The code of an error.
Code = ValidationCode | DeclaredCode
#: A check of one rule: the code of its error, and whether each row passes (null counts as false).
RuleCheck = tuple[Code, pa.Array]

_ALL_CODES: Final[tuple[Code, ...]] = (*ValidationCode, *DECLARED_CODES)
_INDEX_OF: Final = {code: index for index, code in enumerate(_ALL_CODES)}
_CODES: Final = pa.array([code.value for code in _ALL_CODES], pa.string())
_SENTENCES: Final = pa.array([code.sentence for code in _ALL_CODES], pa.string())


def first_error(checks: Sequence[RuleCheck], length: int) -> pa.Array:
    """Return for each row the error of the first check, in the order given, that it doesn't pass."""
    errors = pa.nulls(length, pa.int16())
    for code, passes in reversed(checks):
        if pc.sum(passes).as_py() != length:
            errors = pc.if_else(pc.fill_null(passes, False), errors, _scalar(code))
    return errors


def first_of(errors: Sequence[pa.Array]) -> pa.Array:
    """Return for each row the first error that isn't null."""
    return pc.coalesce(*errors)


def error_per_submission(row_errors: pa.Array, parents: pa.Array, count: int) -> pa.Array:
    """Return for each of `count` submissions the error of its first invalid row.

    `parents` (int64) has the index of the submission of each row.
    """
    invalid = pc.indices_nonzero(pc.is_valid(row_errors))
    if not len(invalid):
        return pa.nulls(count, pa.int16())
    first_invalid = pc.index_in(row_indices(count), value_set=parents.take(invalid))
    return row_errors.take(invalid).take(first_invalid)


def error_if_any_row(code: Code, invalid: pa.Array, parents: pa.Array, count: int) -> pa.Array:
    """Return this error for each submission with a row where `invalid` is true or null."""
    row_errors = pc.if_else(pc.fill_null(invalid, True), _scalar(code), pa.scalar(None, pa.int16()))
    return error_per_submission(row_errors, parents, count)


def error_where(code: Code, invalid: pa.Array) -> pa.Array:
    """Return this error where `invalid` is true or null."""
    return pc.if_else(pc.fill_null(invalid, True), _scalar(code), pa.scalar(None, pa.int16()))


def error_if_days_after(code: Code, days: pa.Array, others: pa.Array, days_max: int) -> pa.Array:
    """Return this error where a day (date32) is more than `days_max` days after the other one, or either is null."""
    days_after = pc.subtract(days.cast(pa.int32()), others.cast(pa.int32()))
    return error_where(code, pc.greater(days_after, days_max))


def same_error(code: Code, length: int) -> pa.Array:
    """Return this error `length` times."""
    return constant(_INDEX_OF[code], length, pa.int16())


def error_codes(errors: pa.Array) -> pa.Array:
    """Return the short codes of errors."""
    return _CODES.take(errors)


def error_sentences(errors: pa.Array) -> pa.Array:
    """Return the sentences of errors."""
    return _SENTENCES.take(errors)


def _scalar(code: Code) -> pa.Scalar:
    return pa.scalar(_INDEX_OF[code], pa.int16())
