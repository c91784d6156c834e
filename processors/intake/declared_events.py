"""Submissions of a generated schema: events of declared entities, cancellations of them, and enrolments.

All that a schema demands follows from the declaration of its system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, person_codes
from processors.columns import (
    arrow_schema,
    constant,
    contiguous,
    empty_to_null,
    list_offsets,
    row_indices,
    struct_from_columns,
)
from processors.intake import accepted, canonical, declared_codes, formats, validation
from processors.intake.csv_notices import RECORDED_AFTER_RECEIPT_MAX_DAYS, valid_notice_numbers
from processors.intake.members import Members
from processors.intake.persons import EFFECTIVE_AFTER_RECEIPT_MAX_DAYS
from processors.intake.submissions import Submissions, equal_or_both_null
from processors.intake.validation import RuleCheck
from processors.intake.validation_codes import ValidationCode
from schemas.declare import CANCELLED, ENROLLED, FREE_TEXT, MEMBERS, Entity, EntityField
from schemas.systems import System

#: Columns that say where a submission was read; they are no part of its content.
_ORIGIN: Final = ("file", "line")


@dataclass(frozen=True)
class DeclaredEvents:
    """Submissions of one generated schema as columns; empty text is null. `event_names` are those of the system.

    `members` are their persons if some may name several, else None.
    """

    columns: dict[str, pa.Array]
    event_names: tuple[str, ...]
    members: Members | None = None

    def __len__(self) -> int:
        return len(self.columns["event"])

    @cached_property
    def events(self) -> pa.Array:
        """Indices of the events in `event_names` (int32), null where unknown."""
        return pc.index_in(self.columns["event"], value_set=pa.array(self.event_names, pa.string()))

    @cached_property
    def is_cancelled(self) -> pa.Array:
        """Whether each takes back an earlier submission."""
        return pc.fill_null(pc.equal(self.columns["event"], CANCELLED), False)

    @cached_property
    def is_enrolled(self) -> pa.Array:
        """Whether each is an enrolment."""
        return pc.fill_null(pc.equal(self.columns["event"], ENROLLED), False)

    @cached_property
    def days(self) -> dict[str, pa.Array]:
        """Days of effect and of record (date32), null where not given or invalid."""
        return {name: formats.to_date(self.columns[name]) for name in ("effective_on", "recorded_on")}


class DeclaredEventType:
    """How the submissions of one system with entities are read, validated and accepted; see `SubmissionType`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._fields = system.submitted_fields
        self._entities = [
            next((entity for entity in system.owns if event in {each.name for each in entity.events}), None)
            for event in system.submitted_events
        ]
        self._takes_members = pa.array([self._is_of_members(event) for event in system.submitted_events])
        brought = [self._brought_by(event) for event in system.submitted_events]
        self._is_brought = _by_event(self._fields, [set(fields) for fields in brought])
        self._is_required = _by_event(
            self._fields,
            [{name for name, field in fields.items() if not field.is_optional} for fields in brought],
        )

    def _is_of_members(self, event: str) -> bool:
        return event not in (CANCELLED, ENROLLED) and self._system.entity_of(event)[1].of_members

    def _brought_by(self, event: str) -> dict[str, EntityField]:
        """Return the fields that an event brings, by name; a cancellation and an enrolment bring none."""
        if event in (CANCELLED, ENROLLED):
            return {}
        entity, declared = self._system.entity_of(event)
        return entity.brought_by(declared)

    def read(self, submissions: Submissions) -> DeclaredEvents:
        """Return the columns of the submissions."""
        columns = {
            name: empty_to_null(contiguous(submissions.table.column(name)))
            for name in submissions.table.column_names
            if name not in (*_ORIGIN, MEMBERS)
        }
        members = None
        if self._system.submits_members:
            members = Members(submissions.column(MEMBERS), columns["code"])
        return DeclaredEvents(columns, self._system.submitted_events, members)

    def validate(self, submissions: Submissions, events: DeclaredEvents) -> pa.Array:
        """Return the first error of each submission: head, declared fields, the submitter's rights, then the days."""
        municipality = events.columns["municipality"]
        is_own = equal_or_both_null(municipality, submissions.municipality)
        checks = [
            *_source_checks(events),
            *self._head_checks(events),
            *(check for field in self._fields for check in self._field_checks(events, field)),
            (ValidationCode.NOT_SUBMITTER, is_own),
        ]
        received = submissions.received_on
        return validation.first_of(
            [
                validation.first_error(checks, len(events)),
                validation.error_if_days_after(
                    ValidationCode.EFFECTIVE_IN_FUTURE,
                    events.days["effective_on"],
                    received,
                    EFFECTIVE_AFTER_RECEIPT_MAX_DAYS,
                ),
                validation.error_if_days_after(
                    ValidationCode.RECORDED_IN_FUTURE,
                    pc.coalesce(events.days["recorded_on"], received),
                    received,
                    RECORDED_AFTER_RECEIPT_MAX_DAYS,
                ),
            ]
        )

    def _head_checks(self, events: DeclaredEvents) -> list[RuleCheck]:
        columns, days = events.columns, events.days
        cancels, municipality = columns["cancels"], columns["municipality"]
        if self._system.municipal:
            municipality_fits = formats.is_municipality_code(municipality)
        else:
            municipality_fits = pc.is_null(municipality)
        # An enrolment needs neither a number nor a day of record, but if it has them they must be valid.
        unnumbered = pc.and_(events.is_enrolled, pc.is_null(columns["number"]))
        unrecorded = pc.and_(events.is_enrolled, pc.is_null(columns["recorded_on"]))
        return [
            (ValidationCode.EVENT_UNKNOWN, pc.is_valid(events.events)),
            (ValidationCode.FORM_NOTICE, _or(unnumbered, formats.is_notice(columns["number"]))),
            (ValidationCode.FORM_EFFECTIVE_ON, pc.is_valid(days["effective_on"])),
            (ValidationCode.FORM_RECORDED_ON, pc.or_(unrecorded, pc.is_valid(days["recorded_on"]))),
            *self._person_checks(events),
            (ValidationCode.FORM_MUNICIPALITY, municipality_fits),
            (ValidationCode.FORM_CANCELS, _or(pc.is_null(cancels), formats.is_notice(cancels))),
            (ValidationCode.CANCELS_MISSING, pc.or_(pc.invert(events.is_cancelled), pc.is_valid(cancels))),
            (ValidationCode.CANCELS_UNEXPECTED, pc.or_(events.is_cancelled, pc.is_null(cancels))),
        ]

    def _person_checks(self, events: DeclaredEvents) -> Iterator[RuleCheck]:
        if events.members is None:
            yield ValidationCode.FORM_CODE, formats.is_resident_code(events.columns["code"])
            return
        refs = {field: events.columns[field.name] for field in self._fields if field.is_person_ref}
        takes_members = pc.fill_null(self._takes_members.take(events.events), False)
        yield from events.members.checks(takes_members, events.is_cancelled, refs)

    def _field_checks(self, events: DeclaredEvents, field: EntityField) -> list[RuleCheck]:
        values = events.columns[field.name]
        is_brought, is_required = (
            by_event[field.name].take(events.events) for by_event in (self._is_brought, self._is_required)
        )
        return [
            (declared_codes.unexpected(field), pc.or_(pc.is_null(values), is_brought)),
            (declared_codes.missing(field), pc.or_(pc.is_valid(values), pc.invert(is_required))),
            (declared_codes.wrong_form(field), _or(pc.is_null(values), check_of(field)(values))),
        ]

    def canonical_form(self, events: DeclaredEvents) -> pa.Array:
        """Return the content of each submission without file and line; a missing text equals an empty one."""
        content = list(events.columns.values())
        if events.members is not None:
            content.append(events.members.canonical_form())
        return canonical.join_columns(content, without_control_characters=False)

    def notice_numbers(self, events: DeclaredEvents) -> pa.Array:
        """Return the number of each submission where it can be read, else null."""
        return valid_notice_numbers(events.columns["number"])

    def parents(self, events: DeclaredEvents) -> pa.Array | None:
        """Return the index (int64) of the submission of each accepted record; None if each has one record."""
        return None if events.members is None else events.members.persons[0]

    def person_changes(self, submissions: Submissions, events: DeclaredEvents, mesh: Cipher) -> pa.Table:
        """Return the records of `person.change` for valid submissions: one for each person that one names."""
        if events.members is None:
            persons = person_codes(mesh, events.columns["code"])
            return accepted.changes_of_persons(submissions, persons, self.person_change_fields(events, mesh))
        parents, codes = events.members.persons
        persons = person_codes(mesh, codes)
        fields = self.person_change_fields(events, mesh, events.members.digests(persons))
        of_persons = {name: column.take(parents) for name, column in fields.items()}
        return accepted.changes_of_persons(submissions.take(parents), persons, of_persons)

    def person_change_fields(
        self, events: DeclaredEvents, mesh: Cipher, members: pa.Array | None = None
    ) -> dict[str, pa.Array]:
        """Return the fields of `person.change` for valid submissions; an enrolment has those of any enrolment.

        `members` are digests of the persons that each names, null where it names one.
        """
        count = len(events)
        entities = pa.array([entity.id if entity else "" for entity in self._entities], pa.string())
        event = {
            "system": constant(self._system.id, count),
            "entity": entities.take(events.events),
            "event": events.columns["event"],
            "number": events.columns["number"],
            "recorded_on": events.days["recorded_on"],
            "cancels": events.columns["cancels"],
            "members": pa.nulls(count, pa.string()) if members is None else members,
            "fields": self._field_lists(events, mesh),
        }
        type_ = arrow_schema("person-change").field("event").type
        return {
            "kind": pc.if_else(events.is_enrolled, "ENROLMENT", "EVENT"),
            "municipality": events.columns["municipality"],
            "effective_on": events.days["effective_on"],
            "domain": pc.if_else(events.is_enrolled, self._system.id, None),
            "event": struct_from_columns(event, type_, mask=events.is_enrolled),
        }

    def _field_lists(self, events: DeclaredEvents, mesh: Cipher) -> pa.Array:
        """Return for each event the values of its entity's fields; an empty list if it is about no entity.

        Another person is named by mesh code.
        """
        refs = [field.name for field in self._fields if field.is_person_ref]
        columns = events.columns | {name: person_codes(mesh, events.columns[name]) for name in refs}
        rows, lists = [], []
        for entity in (*self._system.owns, None):
            of_entity = pa.array([each is entity for each in self._entities], pa.bool_())
            rows.append(pc.indices_nonzero(of_entity.take(events.events)).cast(pa.int64()))
            lists.append(_lists_of(entity, columns, rows[-1]))
        return pa.concat_arrays(lists).take(pc.sort_indices(pa.concat_arrays(rows)))


def _by_event(fields: tuple[EntityField, ...], names: list[set[str]]) -> dict[str, pa.Array]:
    """Return for each field a boolean per event: whether the event's `names` have it."""
    return {
        field.name: pa.array([field.name in of_event for of_event in names], pa.bool_()) for field in fields
    }


def _lists_of(entity: Entity | None, columns: Mapping[str, pa.Array], rows: pa.Array) -> pa.ListArray:
    """Return for each of these rows the list of the entity's fields in the order of the declaration."""
    names = entity.field_names if entity else ()
    values = pa.concat_arrays([pa.array([], pa.string()), *(columns[name].take(rows) for name in names)])
    items = row_indices(len(values))
    # The values lie field by field; item i of the lists is field i % len(names) of row i // len(names).
    row = pc.divide(items, len(names)) if names else items
    field = pc.subtract(items, pc.multiply(row, len(names)))
    by_row = values.take(pc.add(pc.multiply(field, len(rows)), row))
    return pa.ListArray.from_arrays(list_offsets(constant(len(names), len(rows), pa.int32())), by_row)


def _source_checks(events: DeclaredEvents) -> Iterator[RuleCheck]:
    fault = events.columns["fault"]
    yield ValidationCode.ENCODING, pc.fill_null(pc.not_equal(fault, "encoding"), True)
    yield ValidationCode.UNREADABLE, pc.is_null(fault)


def check_of(field: EntityField) -> formats.Check:
    """Return the check of the values that an event may bring of a field."""
    if field.choices:
        return formats.one_of(*field.choices)
    if field.type == "date":
        return formats.is_date
    if field.pattern == FREE_TEXT:
        return formats.free_text(field.characters_max)
    return formats.matches(field.pattern, field.characters_max)


def _or(absent: pa.Array, passes: pa.Array) -> pa.Array:
    """Return whether a value is absent or passes its check, which is null for an absent one."""
    return pc.or_(absent, pc.fill_null(passes, False))
