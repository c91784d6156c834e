"""Notices that a municipality's own system publishes (juki): what changes of named persons, or of a household."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import columns, constant, fields_of, none_to_null, starts
from processors.intake import canonical, facts, formats, validation
from processors.intake.csv_notices import PERSONS_MAX, depending, late, readable, repeated
from processors.intake.submissions import Submissions
from processors.intake.validation import Finding
from processors.intake.validation_codes import ValidationCode

_SAID: Final = (
    "notice", "municipality", "reason", "effective_on", "recorded_on", "household", "moved_from", "moved_to", "cancels",
)  # fmt: skip
_NAMED: Final = (*_SAID, "raw", "fault")

#: Fields of a person in the order of judgement; for who is new there all of them are given.
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
    """Notices as columns; the persons of all of them one below the other, `parents` (int64) says whose each is."""

    columns: dict[str, pa.Array]
    persons: dict[str, pa.Array]
    parents: pa.Array
    lengths: pa.Array
    persons_given: pa.Array
    to: dict[str, pa.Array]
    to_given: pa.Array

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def days(self) -> dict[str, pa.Array]:
        """Days of effect and of record; null where it is none."""
        return {name: formats.to_date(self.columns[name]) for name in ("effective_on", "recorded_on")}

    @cached_property
    def passing(self) -> dict[str, pa.Array]:
        """Moved from, moved to, cancelled: as in the columns of CSV, empty is not given."""
        return {name: none_to_null(self.columns[name]) for name in ("moved_from", "moved_to", "cancels")}

    @cached_property
    def birth_dates(self) -> pa.Array:
        """Dates of birth of the persons; null where not given, or none."""
        return formats.to_date(self.persons["birth_date"])

    @cached_property
    def reasons(self) -> pa.Array:
        """Places of the reasons."""
        return facts.places(self.columns["reason"])


def events_of(hand_overs: Submissions) -> JsonNotices:
    """The hand-overs' columns."""
    lists, to = hand_overs.column("persons"), hand_overs.column("to")
    return JsonNotices(
        columns(hand_overs.table, _NAMED),
        fields_of(lists.flatten()),
        pc.list_parent_indices(lists).cast(pa.int64()),
        pc.fill_null(pc.list_value_length(lists), 0),
        pc.is_valid(lists),
        fields_of(to),
        pc.is_valid(to),
    )


def validate(hand_overs: Submissions, events: JsonNotices) -> pa.Array:
    """Form of every field, then rights, then content; null where there is nothing to refuse."""
    count = len(events)
    form = [
        validation.first_fault([*_read(events), *_head(events), *_shape(events)], count),
        validation.of_hand_overs(_persons(events), events.parents, count),
        validation.first_fault(_tail(events), count),
    ]
    stranger = pc.not_equal(events.columns["municipality"], hand_overs.municipality)
    twice = repeated(events.persons["code"], events.parents)
    return validation.earliest(
        [
            *form,
            validation.where(ValidationCode.NOT_SUBMITTER, stranger),
            validation.of_any_row(ValidationCode.PERSON_REPEATED, twice, events.parents, count),
            late(events.days["effective_on"], events.days["recorded_on"]),
        ]
    )


def _read(events: JsonNotices) -> list[Finding]:
    """What the source could not read as fields."""
    fault = events.columns["fault"]
    decoded = pc.fill_null(pc.not_equal(fault, "encoding"), True)
    return [(ValidationCode.ENCODING, decoded), (ValidationCode.UNREADABLE, pc.is_null(fault))]


def _head(events: JsonNotices) -> list[Finding]:
    return [
        (ValidationCode.FORM_NOTICE, formats.is_notice(events.columns["notice"])),
        (ValidationCode.FORM_MUNICIPALITY, formats.is_municipality_code(events.columns["municipality"])),
        (ValidationCode.FORM_REASON, pc.is_valid(events.reasons)),
        (ValidationCode.FORM_EFFECTIVE_ON, pc.is_valid(events.days["effective_on"])),
        (ValidationCode.FORM_RECORDED_ON, pc.is_valid(events.days["recorded_on"])),
    ]


def _shape(events: JsonNotices) -> list[Finding]:
    """Persons or a household; who is new is named; `to` goes with a household."""
    household = pc.is_valid(events.columns["household"])
    named = pc.greater(events.lengths, 0)
    either = pc.xor(events.persons_given, household)
    return [
        (ValidationCode.PERSONS_OR_HOUSEHOLD, pc.and_(either, pc.or_(household, named))),
        (ValidationCode.PERSONS_MANY, pc.less_equal(events.lengths, PERSONS_MAX)),
        (ValidationCode.NEW_NEEDS_PERSONS, pc.or_(named, pc.invert(facts.new_there(events.reasons)))),
        (ValidationCode.TO_WITHOUT_HOUSEHOLD, pc.or_(household, pc.invert(events.to_given))),
    ]


def _persons(events: JsonNotices) -> pa.Array:
    new = pc.fill_null(facts.new_there(events.reasons).take(events.parents), False)
    findings: list[Finding] = []
    for name, fault, check in _PERSON:
        column = events.persons[name]
        required = new if name != "code" else constant(True, len(column), pa.bool_())
        findings.append((ValidationCode.NEW_NEEDS_ALL if name != "code" else fault, _given(column, required)))
        findings.append((fault, _if_given(column, check)))
    findings.append((ValidationCode.NEW_NEEDS_ALL, _given(events.persons["protected"], new)))
    return validation.first_fault(findings, len(events.parents))


def _tail(events: JsonNotices) -> list[Finding]:
    findings: list[Finding] = [
        (ValidationCode.FORM_HOUSEHOLD, _if_given(events.columns["household"], formats.is_household)),
        *((fault, _if_given(events.to[name], check)) for name, fault, check in _TO),
    ]
    always = constant(True, len(events), pa.bool_())
    for name, column in events.passing.items():
        findings.extend(depending(name, column, events.reasons, always))
    return findings


def _given(column: pa.Array, required: pa.Array) -> pa.Array:
    return pc.or_(pc.is_valid(column), pc.invert(required))


def _if_given(column: pa.Array, check: formats.Check) -> pa.Array:
    return pc.fill_null(check(column), True)


def canonical_form(events: JsonNotices, *, clean: bool) -> pa.Array:
    """What each hand-over says, file and line apart; a field that isn't given is none."""
    persons = canonical.joined([_text(column) for column in events.persons.values()], clean=clean)
    listed = canonical.gathered(persons, starts(events.lengths))
    said: Sequence[pa.Array] = [
        *(events.columns[name] for name in (_SAID if clean else _NAMED)),
        *(_text(column) for column in events.to.values()),
        _text(events.persons_given),
        _text(events.to_given),
        listed,
    ]
    return canonical.joined(said, clean=clean)


def notice_numbers(events: JsonNotices) -> pa.Array:
    """The number of each hand-over's notice where one can be read, else null."""
    return readable(events.columns["notice"])


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())
