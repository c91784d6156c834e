"""Notices from gateway servers (juki-cs): rows of CSV, each held to its form, taken together by notice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import fields_of, none_to_null, span, starts
from processors.intake import canonical, facts, formats, validation
from processors.intake.submissions import Submissions, agreed
from processors.intake.validation import Finding
from processors.intake.validation_codes import ValidationCode
from schemas.reasons import Reason

#: Columns of a row in the order of the file; 通番 (`number`) is no part of the content.
COLUMNS: Final = (
    "number", "notice", "municipality", "reason", "effective_on", "recorded_on", "household", "local_number", "code",
    "name", "kana", "birth_date", "sex", "relationship", "address", "moved_from", "moved_to", "protected", "cancels",
)  # fmt: skip

#: What every row of a notice says of the notice as a whole.
NOTICE_WIDE: Final = (
    "notice", "municipality", "reason", "effective_on", "recorded_on", "moved_from", "moved_to", "cancels",
)  # fmt: skip

#: More persons than the largest household of an institution.
PERSONS_MAX: Final = 1000

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
    """The rows of many hand-overs, one below the other; `parents` (int64) says whose row each is."""

    columns: dict[str, pa.Array]
    parents: pa.Array
    lengths: pa.Array

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def days(self) -> dict[str, pa.Array]:
        """The three dates; null where it is none."""
        return {
            name: formats.to_date(self.columns[name])
            for name in ("effective_on", "recorded_on", "birth_date")
        }

    @cached_property
    def reasons(self) -> pa.Array:
        """Places of the reasons."""
        return facts.places(self.columns["reason"])

    @cached_property
    def first(self) -> pa.Array:
        """Row number of each hand-over's first row; null where it has none."""
        return pc.index_in(span(len(self.lengths)), value_set=self.parents)

    def filter(self, keep: pa.Array) -> CsvNotices:
        """The rows of those hand-overs where `keep` is true."""
        mask = keep.take(self.parents)
        lengths = self.lengths.filter(keep)
        kept = {name: column.filter(mask) for name, column in self.columns.items()}
        return CsvNotices(kept, _owners(lengths), lengths)


def _owners(lengths: pa.Array) -> pa.Array:
    offsets = starts(lengths)
    nothing = pa.nulls(offsets[-1].as_py() if len(lengths) else 0, pa.bool_())
    return pc.list_parent_indices(pa.ListArray.from_arrays(offsets, nothing)).cast(pa.int64())


def rows_of(hand_overs: Submissions) -> CsvNotices:
    """All rows of the hand-overs."""
    lists = hand_overs.column("rows")
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return CsvNotices(fields_of(lists.flatten()), pc.list_parent_indices(lists).cast(pa.int64()), lengths)


def validate(hand_overs: Submissions, rows: CsvNotices) -> pa.Array:
    """Form of every column of every row, then rights, then content; null where there is nothing to refuse."""
    count = len(hand_overs)
    per_row = validation.first_fault(_findings(rows), len(rows))
    empty = validation.where(ValidationCode.COLUMNS, pc.equal(rows.lengths, 0))
    many = validation.where(ValidationCode.PERSONS_MANY, pc.greater(rows.lengths, PERSONS_MAX))
    form = validation.earliest([empty, many, validation.of_hand_overs(per_row, rows.parents, count)])
    stranger = pc.not_equal(rows.columns["municipality"], hand_overs.municipality.take(rows.parents))
    rights = validation.of_any_row(ValidationCode.NOT_SUBMITTER, stranger, rows.parents, count)
    return validation.earliest([form, rights, *_contradictions(rows, count), _late(rows)])


def _findings(rows: CsvNotices) -> list[Finding]:
    found = {name: [(fault, check(rows.columns[name]))] for name, (fault, check) in _SIMPLE.items()}
    found["reason"] = [(ValidationCode.FORM_REASON, pc.is_valid(rows.reasons))]
    for name, fault in (
        ("effective_on", ValidationCode.FORM_EFFECTIVE_ON),
        ("recorded_on", ValidationCode.FORM_RECORDED_ON),
        ("birth_date", ValidationCode.FORM_BIRTH_DATE),
    ):
        found[name] = [(fault, pc.is_valid(rows.days[name]))]
    for name in ("moved_from", "moved_to", "cancels"):
        column = rows.columns[name]
        found[name] = depending(name, none_to_null(column), rows.reasons, pc.is_valid(column))
    return [*_read(rows), *(finding for name in COLUMNS for finding in found[name])]


def _read(rows: CsvNotices) -> list[Finding]:
    """What the source could not read as columns."""
    fault = rows.columns["fault"]
    known = (("columns", ValidationCode.COLUMNS), ("encoding", ValidationCode.ENCODING))
    named = [(code, pc.fill_null(pc.not_equal(fault, name), True)) for name, code in known]
    return [*named, (ValidationCode.UNREADABLE, pc.is_null(fault))]


def depending(name: str, given: pa.Array, reasons: pa.Array, readable: pa.Array) -> list[Finding]:
    """Findings for a column that goes with some reasons: `given` is null where nothing is given."""
    absent = pc.and_(pc.is_null(given), readable)
    if name == "cancels":
        cancelling = facts.is_reason(reasons, Reason.CANCELLED)
        return [
            (ValidationCode.FORM_CANCELS, pc.or_(absent, pc.fill_null(formats.is_notice(given), False))),
            (ValidationCode.CANCELS_MISSING, pc.or_(pc.invert(cancelling), pc.is_valid(given))),
            (ValidationCode.CANCELS_UNEXPECTED, pc.or_(cancelling, pc.is_null(given))),
        ]
    needing, form, missing = {
        "moved_from": (Reason.MOVED_IN, ValidationCode.FORM_MOVED_FROM, ValidationCode.MOVED_FROM_MISSING),
        "moved_to": (Reason.MOVED_OUT, ValidationCode.FORM_MOVED_TO, ValidationCode.MOVED_TO_MISSING),
    }[name]
    needed = facts.is_reason(reasons, needing)
    return [
        (form, pc.or_(absent, pc.fill_null(formats.is_place_code(given), False))),
        (missing, pc.or_(pc.invert(needed), pc.is_valid(given))),
    ]


def _contradictions(rows: CsvNotices, count: int) -> list[pa.Array]:
    """Rows that don't agree on the notice; a person named twice."""
    if len(rows) == count:
        return []
    of_first = rows.first.take(rows.parents)
    differ = [pc.invert(agreed(column, column.take(of_first))) for column in _wide(rows)]
    anywhere = differ[0]
    for one in differ[1:]:
        anywhere = pc.or_(anywhere, one)
    return [
        validation.of_any_row(ValidationCode.ROWS_DIFFER, anywhere, rows.parents, count),
        validation.of_any_row(
            ValidationCode.PERSON_REPEATED, repeated(rows.columns["code"], rows.parents), rows.parents, count
        ),
    ]


def _wide(rows: CsvNotices) -> list[pa.Array]:
    return [rows.columns[name] for name in NOTICE_WIDE]


def repeated(persons: pa.Array, parents: pa.Array) -> pa.Array:
    """Whether a row's person stands in an earlier row of the same hand-over."""
    seen = pc.binary_join_element_wise(parents.cast(pa.string()), pc.fill_null(persons, ""), "/")
    first = pc.index_in(seen, value_set=seen)
    return pc.not_equal(first.cast(pa.int64()), span(len(seen)))


def _late(rows: CsvNotices) -> pa.Array:
    effective, recorded = (rows.days[name].take(rows.first) for name in ("effective_on", "recorded_on"))
    return late(effective, recorded)


def late(effective: pa.Array, recorded: pa.Array) -> pa.Array:
    """A notice can take effect at most 60 days after it was recorded."""
    ahead = pc.subtract(effective.cast(pa.int32()), recorded.cast(pa.int32()))
    return validation.where(ValidationCode.EFFECTIVE_LATE, pc.greater(ahead, 60))


def canonical_form(rows: CsvNotices, *, clean: bool) -> pa.Array:
    """What each hand-over says, 通番, file and line apart."""
    said = [rows.columns[name] for name in (*COLUMNS[1:], *(() if clean else ("raw",)))]
    return canonical.gathered(canonical.joined(said, clean=clean), starts(rows.lengths))


def notice_numbers(rows: CsvNotices) -> pa.Array:
    """The number of each hand-over's notice where one can be read, else null."""
    return readable(rows.columns["notice"].take(rows.first))


def readable(numbers: pa.Array) -> pa.Array:
    """Notice numbers that have the form; null for all else."""
    return pc.if_else(pc.fill_null(formats.is_notice(numbers), False), numbers, None)
