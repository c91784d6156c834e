"""Submissions of the clock: days that have begun in Japan."""

from __future__ import annotations

import pyarrow as pa

from processors.columns import constant, table_from_columns
from processors.intake import formats, validation
from processors.intake.submissions import Submissions
from processors.intake.validation_codes import ValidationCode


def validate(submissions: Submissions, days: pa.Array) -> pa.Array:
    """Return the first error of each submission: its day must exist, and have begun when it was received."""
    form = validation.first_error([(ValidationCode.FORM_DAY, formats.is_date(days))], len(days))
    in_future = validation.error_if_days_after(
        ValidationCode.DAY_IN_FUTURE, formats.to_date(days), submissions.received_on, days_max=0
    )
    return validation.first_of([form, in_future])


def person_changes(submissions: Submissions, days: pa.Array) -> pa.Table:
    """Return records of `person.change` that concern no person, for valid days."""
    count = len(days)
    fields = {
        "person": constant("", count),
        "kind": constant("DAY_BEGUN", count),
        "effective_on": formats.to_date(days),
        "seq": constant(0, count, pa.int64()),
        "origin": submissions.origin,
        "received_at": submissions.received_at,
    }
    return table_from_columns("person-change", fields)
