"""Notices as JSON from a municipality's own system: what changes for named persons, or for a whole household."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, empty_to_null, list_offsets, select_columns, struct_fields
from processors.intake import canonical, facts, formats, validation
from processors.intake.csv_notices import (
    checks_by_reason,
    errors_of_days,
    is_repeated_person,
    valid_notice_numbers,
)
from processors.intake.submission_limits import PERSONS_MAX
from processors.intake.submissions import Submissions
from processors.intake.validation import RuleCheck
from processors.intake.validation_codes import ValidationCode

_CONTENT: Final = (
    "notice", "municipality", "reason", "effective_on", "recorded_on", "household", "moved_from", "moved_to", "cancels",
)  # fmt: skip
_READ: Final = (*_CONTENT, "raw", "fault")

#: Fields of a person in the order of their checks; all are required for a person who becomes a resident.
_PERSON: Final[tuple[tuple[str, ValidationCode, formats.Check], ...]] = (
    ("code", ValidationCode.FORM_CODE, formats.is_resident_code),
    ("local_number", ValidationCode.FORM_LOCAL_NUMBER, formats.is_local_number),
    ("name", ValidationCode.FORM_NAME, formats.is_name),
    ("kana", ValidationCode.FORM_KANA, formats.is_kana),
    ("birth_date", ValidationCode.FORM_BIRTH_DATE, formats.is_date),
    ("sex", ValidationCode.FORM_SEX, formats.is_sex),
    ("relationship", ValidationCode.FORM_RELATIONSHIP, formats.is_relationship),
    ("household", ValidationCode.FORM_HOUSEHOLD, formats.is_household),
    ("address", ValidationCode.FORM_ADDRESS, formats.is_address),
)

_TO: Final[tuple[tuple[str, ValidationCode, formats.Check], ...]] = (
    ("address", ValidationCode.FORM_ADDRESS, formats.is_address),
    ("household", ValidationCode.FORM_HOUSEHOLD, formats.is_household),
    ("relationship", ValidationCode.FORM_RELATIONSHIP, formats.is_relationship),
)


@dataclass(frozen=True)
class JsonNotices:
    """Notices as columns, and their persons, concatenated.

    `parents` (int64) has the index of each person's notice, `lengths` the number of persons of each notice.
    `has_persons` and `has_to` are true where the notice has a list of persons and the field `to`.
    """

    columns: dict[str, pa.Array]
    persons: dict[str, pa.Array]
    parents: pa.Array
    lengths: pa.Array
    has_persons: pa.Array
    to: dict[str, pa.Array]
    has_to: pa.Array

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def days(self) -> dict[str, pa.Array]:
        """Days of effect and of record (date32), null where invalid."""
        return {name: formats.to_date(self.columns[name]) for name in ("effective_on", "recorded_on")}

    @cached_property
    def optional_codes(self) -> dict[str, pa.Array]:
        """Municipality moved from, moved to, and the cancelled number. Empty text is not given, as in CSV."""
        return {name: empty_to_null(self.columns[name]) for name in ("moved_from", "moved_to", "cancels")}

    @cached_property
    def birth_dates(self) -> pa.Array:
        """Dates of birth (date32) of the persons, null where not given or invalid."""
        return formats.to_date(self.persons["birth_date"])

    @cached_property
    def reasons(self) -> pa.Array:
        """Indices of the reasons, null where unknown."""
        return facts.reason_indices(self.columns["reason"])


def json_notices_of(submissions: Submissions) -> JsonNotices:
    """Return the columns of the submissions."""
    lists, to = submissions.column("persons"), submissions.column("to")
    return JsonNotices(
        select_columns(submissions.table, _READ),
        struct_fields(lists.flatten()),
        pc.list_parent_indices(lists).cast(pa.int64()),
        pc.fill_null(pc.list_value_length(lists), 0),
        pc.is_valid(lists),
        struct_fields(to),
        pc.is_valid(to),
    )


def validate(submissions: Submissions, notices: JsonNotices) -> pa.Array:
    """Return the first error of each submission: format, the submitter's rights, repeated persons, dates."""
    count = len(notices)
    foreign = pc.not_equal(notices.columns["municipality"], submissions.municipality)
    repeated = is_repeated_person(notices.persons["code"], notices.parents)
    return validation.first_of(
        [
            validation.first_error(
                [*_source_checks(notices), *_head_checks(notices), *_structure_checks(notices)], count
            ),
            validation.error_per_submission(_person_errors(notices), notices.parents, count),
            validation.first_error(_remaining_checks(notices), count),
            validation.error_where(ValidationCode.NOT_SUBMITTER, foreign),
            validation.error_if_any_row(ValidationCode.PERSON_REPEATED, repeated, notices.parents, count),
            *errors_of_days(
                notices.days["effective_on"], notices.days["recorded_on"], submissions.received_on
            ),
        ]
    )


def _source_checks(notices: JsonNotices) -> list[RuleCheck]:
    """Return the checks that the source could parse each line."""
    fault = notices.columns["fault"]
    decoded = pc.fill_null(pc.not_equal(fault, "encoding"), True)
    return [(ValidationCode.ENCODING, decoded), (ValidationCode.UNREADABLE, pc.is_null(fault))]


def _head_checks(notices: JsonNotices) -> list[RuleCheck]:
    return [
        (ValidationCode.FORM_NOTICE, formats.is_notice(notices.columns["notice"])),
        (ValidationCode.FORM_MUNICIPALITY, formats.is_municipality_code(notices.columns["municipality"])),
        (ValidationCode.FORM_REASON, pc.is_valid(notices.reasons)),
        (ValidationCode.FORM_EFFECTIVE_ON, pc.is_valid(notices.days["effective_on"])),
        (ValidationCode.FORM_RECORDED_ON, pc.is_valid(notices.days["recorded_on"])),
    ]


def _structure_checks(notices: JsonNotices) -> list[RuleCheck]:
    """Return the checks of the combination of `persons`, `household` and `to`."""
    has_household = pc.is_valid(notices.columns["household"])
    names_persons = pc.greater(notices.lengths, 0)
    exactly_one = pc.xor(notices.has_persons, has_household)
    is_new = facts.is_new_resident(notices.reasons)
    return [
        (ValidationCode.PERSONS_OR_HOUSEHOLD, pc.and_(exactly_one, pc.or_(has_household, names_persons))),
        (ValidationCode.PERSONS_MANY, pc.less_equal(notices.lengths, PERSONS_MAX)),
        (ValidationCode.NEW_NEEDS_PERSONS, pc.or_(names_persons, pc.invert(is_new))),
        (ValidationCode.TO_WITHOUT_HOUSEHOLD, pc.or_(has_household, pc.invert(notices.has_to))),
    ]


def _person_errors(notices: JsonNotices) -> pa.Array:
    new = pc.fill_null(facts.is_new_resident(notices.reasons).take(notices.parents), False)
    checks: list[RuleCheck] = []
    for name, code, check in _PERSON:
        column = notices.persons[name]
        if name == "code":  # Every person needs one.
            checks.append((code, pc.is_valid(column)))
        else:
            checks.append((ValidationCode.NEW_NEEDS_ALL, _given_if(new, column)))
        checks.append((code, _valid_if_given(column, check)))
    checks.append((ValidationCode.NEW_NEEDS_ALL, _given_if(new, notices.persons["protected"])))
    return validation.first_error(checks, len(notices.parents))


def _remaining_checks(notices: JsonNotices) -> list[RuleCheck]:
    checks: list[RuleCheck] = [
        (ValidationCode.FORM_HOUSEHOLD, _valid_if_given(notices.columns["household"], formats.is_household)),
        *((code, _valid_if_given(notices.to[name], check)) for name, code, check in _TO),
    ]
    always = constant(True, len(notices), pa.bool_())
    for name, column in notices.optional_codes.items():
        checks.extend(checks_by_reason(name, column, notices.reasons, always))
    return checks


def _given_if(required: pa.Array, column: pa.Array) -> pa.Array:
    return pc.or_(pc.is_valid(column), pc.invert(required))


def _valid_if_given(column: pa.Array, check: formats.Check) -> pa.Array:
    return pc.fill_null(check(column), True)


def canonical_form(notices: JsonNotices, *, all_valid: bool) -> pa.Array:
    """Return the content of each submission without file and line; a missing field differs from an empty one.

    `all_valid` means that all submissions are valid: their values have no control characters.
    """
    persons = canonical.join_columns(
        [_text(column) for column in notices.persons.values()], without_control_characters=all_valid
    )
    content: Sequence[pa.Array] = [
        *(notices.columns[name] for name in (_CONTENT if all_valid else _READ)),
        *(_text(column) for column in notices.to.values()),
        _text(notices.has_persons),
        _text(notices.has_to),
        canonical.join_rows(persons, list_offsets(notices.lengths)),
    ]
    return canonical.join_columns(content, without_control_characters=all_valid)


def notice_numbers(notices: JsonNotices) -> pa.Array:
    """Return the notice number of each submission where it can be read, else null."""
    return valid_notice_numbers(notices.columns["notice"])


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())
