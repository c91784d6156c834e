"""Notices from gateway servers (juki-cs): rows of CSV, each held to its form, taken together by notice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import fields_of, none_to_null, span, starts
from processors.intake import content, facts, forms, judgement
from processors.intake.faults import Fault
from processors.intake.filed import Filed, agreed
from processors.intake.judgement import Finding
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

_SIMPLE: Final[dict[str, tuple[Fault, forms.Check]]] = {
    "number": (Fault.FORM_NUMBER, forms.is_number),
    "notice": (Fault.FORM_NOTICE, forms.is_notice),
    "municipality": (Fault.FORM_MUNICIPALITY, forms.is_municipality_code),
    "household": (Fault.FORM_HOUSEHOLD, forms.is_household),
    "local_number": (Fault.FORM_LOCAL_NUMBER, forms.is_local_number),
    "code": (Fault.FORM_CODE, forms.is_resident_code),
    "name": (Fault.FORM_NAME, forms.is_name),
    "kana": (Fault.FORM_KANA, forms.is_kana),
    "sex": (Fault.FORM_SEX, forms.is_sex),
    "relationship": (Fault.FORM_RELATIONSHIP, forms.is_relationship),
    "address": (Fault.FORM_ADDRESS, forms.is_address),
    "protected": (Fault.FORM_PROTECTED, forms.is_flag),
}


@dataclass(frozen=True)
class Rows:
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
            name: forms.to_date(self.columns[name]) for name in ("effective_on", "recorded_on", "birth_date")
        }

    @cached_property
    def reasons(self) -> pa.Array:
        """Places of the reasons."""
        return facts.places(self.columns["reason"])

    @cached_property
    def first(self) -> pa.Array:
        """Row number of each hand-over's first row; null where it has none."""
        return pc.index_in(span(len(self.lengths)), value_set=self.parents)

    def filter(self, keep: pa.Array) -> Rows:
        """The rows of those hand-overs where `keep` is true."""
        mask = keep.take(self.parents)
        lengths = self.lengths.filter(keep)
        kept = {name: column.filter(mask) for name, column in self.columns.items()}
        return Rows(kept, _owners(lengths), lengths)


def _owners(lengths: pa.Array) -> pa.Array:
    offsets = starts(lengths)
    nothing = pa.nulls(offsets[-1].as_py() if len(lengths) else 0, pa.bool_())
    return pc.list_parent_indices(pa.ListArray.from_arrays(offsets, nothing)).cast(pa.int64())


def rows_of(hand_overs: Filed) -> Rows:
    """All rows of the hand-overs."""
    lists = hand_overs.column("rows")
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return Rows(fields_of(lists.flatten()), pc.list_parent_indices(lists).cast(pa.int64()), lengths)


def judge(hand_overs: Filed, rows: Rows) -> pa.Array:
    """Form of every column of every row, then rights, then content; null where there is nothing to refuse."""
    count = len(hand_overs)
    per_row = judgement.first_fault(_findings(rows), len(rows))
    empty = judgement.where(Fault.COLUMNS, pc.equal(rows.lengths, 0))
    many = judgement.where(Fault.PERSONS_MANY, pc.greater(rows.lengths, PERSONS_MAX))
    form = judgement.earliest([empty, many, judgement.of_hand_overs(per_row, rows.parents, count)])
    stranger = pc.not_equal(rows.columns["municipality"], hand_overs.municipality.take(rows.parents))
    rights = judgement.of_any_row(Fault.NOT_SUBMITTER, stranger, rows.parents, count)
    return judgement.earliest([form, rights, *_contradictions(rows, count), _late(rows)])


def _findings(rows: Rows) -> list[Finding]:
    found = {name: [(fault, check(rows.columns[name]))] for name, (fault, check) in _SIMPLE.items()}
    found["reason"] = [(Fault.FORM_REASON, pc.is_valid(rows.reasons))]
    for name, fault in (
        ("effective_on", Fault.FORM_EFFECTIVE_ON),
        ("recorded_on", Fault.FORM_RECORDED_ON),
        ("birth_date", Fault.FORM_BIRTH_DATE),
    ):
        found[name] = [(fault, pc.is_valid(rows.days[name]))]
    for name in ("moved_from", "moved_to", "cancels"):
        column = rows.columns[name]
        found[name] = depending(name, none_to_null(column), rows.reasons, pc.is_valid(column))
    return [*_read(rows), *(finding for name in COLUMNS for finding in found[name])]


def _read(rows: Rows) -> list[Finding]:
    """What the source could not read as columns."""
    fault = rows.columns["fault"]
    known = (("columns", Fault.COLUMNS), ("encoding", Fault.ENCODING))
    named = [(code, pc.fill_null(pc.not_equal(fault, name), True)) for name, code in known]
    return [*named, (Fault.UNREADABLE, pc.is_null(fault))]


def depending(name: str, given: pa.Array, reasons: pa.Array, readable: pa.Array) -> list[Finding]:
    """Findings for a column that goes with some reasons: `given` is null where nothing is given."""
    absent = pc.and_(pc.is_null(given), readable)
    if name == "cancels":
        cancelling = facts.is_reason(reasons, Reason.CANCELLED)
        return [
            (Fault.FORM_CANCELS, pc.or_(absent, pc.fill_null(forms.is_notice(given), False))),
            (Fault.CANCELS_MISSING, pc.or_(pc.invert(cancelling), pc.is_valid(given))),
            (Fault.CANCELS_UNEXPECTED, pc.or_(cancelling, pc.is_null(given))),
        ]
    needing, form, missing = {
        "moved_from": (Reason.MOVED_IN, Fault.FORM_MOVED_FROM, Fault.MOVED_FROM_MISSING),
        "moved_to": (Reason.MOVED_OUT, Fault.FORM_MOVED_TO, Fault.MOVED_TO_MISSING),
    }[name]
    needed = facts.is_reason(reasons, needing)
    return [
        (form, pc.or_(absent, pc.fill_null(forms.is_place_code(given), False))),
        (missing, pc.or_(pc.invert(needed), pc.is_valid(given))),
    ]


def _contradictions(rows: Rows, count: int) -> list[pa.Array]:
    """Rows that don't agree on the notice; a person named twice."""
    if len(rows) == count:
        return []
    of_first = rows.first.take(rows.parents)
    differ = [pc.invert(agreed(column, column.take(of_first))) for column in _wide(rows)]
    anywhere = differ[0]
    for one in differ[1:]:
        anywhere = pc.or_(anywhere, one)
    return [
        judgement.of_any_row(Fault.ROWS_DIFFER, anywhere, rows.parents, count),
        judgement.of_any_row(
            Fault.PERSON_REPEATED, repeated(rows.columns["code"], rows.parents), rows.parents, count
        ),
    ]


def _wide(rows: Rows) -> list[pa.Array]:
    return [rows.columns[name] for name in NOTICE_WIDE]


def repeated(persons: pa.Array, parents: pa.Array) -> pa.Array:
    """Whether a row's person stands in an earlier row of the same hand-over."""
    seen = pc.binary_join_element_wise(parents.cast(pa.string()), pc.fill_null(persons, ""), "/")
    first = pc.index_in(seen, value_set=seen)
    return pc.not_equal(first.cast(pa.int64()), span(len(seen)))


def _late(rows: Rows) -> pa.Array:
    effective, recorded = (rows.days[name].take(rows.first) for name in ("effective_on", "recorded_on"))
    return late(effective, recorded)


def late(effective: pa.Array, recorded: pa.Array) -> pa.Array:
    """A notice can take effect at most 60 days after it was recorded."""
    ahead = pc.subtract(effective.cast(pa.int32()), recorded.cast(pa.int32()))
    return judgement.where(Fault.EFFECTIVE_LATE, pc.greater(ahead, 60))


def contents(rows: Rows, *, clean: bool) -> pa.Array:
    """What each hand-over says, 通番, file and line apart."""
    said = [rows.columns[name] for name in (*COLUMNS[1:], *(() if clean else ("raw",)))]
    return content.gathered(content.joined(said, clean=clean), starts(rows.lengths))


def notice_numbers(rows: Rows) -> pa.Array:
    """The number of each hand-over's notice where one can be read, else null."""
    return readable(rows.columns["notice"].take(rows.first))


def readable(numbers: pa.Array) -> pa.Array:
    """Notice numbers that have the form; null for all else."""
    return pc.if_else(pc.fill_null(forms.is_notice(numbers), False), numbers, None)
