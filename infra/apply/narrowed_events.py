"""The check that events may bring whatever they might bring when declarations were last applied.

The input topics are kept for ever, and a replay checks every submission in them again. What was accepted must be
accepted then too, or its rows would be lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

from infra.apply.accepted_events import AcceptedEvent, AcceptedEvents, AcceptedField
from processors.intake.declared_events import check_of
from schemas.declare import Entity, EntityField
from schemas.systems import SYSTEMS


def narrowed(applied: AcceptedEvents) -> str | None:
    """Return a sentence about the first event that may bring less than was applied; None if there is none.

    An entity that isn't declared any more doesn't count: it has no rows that could be lost.
    """
    entities = {entity.id: entity for system in SYSTEMS.values() for entity in system.owns}
    faults = (
        fault
        for id_, events in applied.items()
        if id_ in entities
        for name, event in events.items()
        for fault in _faults_of_event(entities[id_], name, event)
    )
    return next(faults, None)


def _faults_of_event(entity: Entity, name: str, before: AcceptedEvent) -> Iterator[str]:
    event = next((event for event in entity.events if event.name == name), None)
    named = f"entity {entity.id}: event {name}"
    if event is None:
        yield f"{named} is gone"
        return
    if event.of_members is not before.of_members:
        yield f"{named} names {'several persons' if before.of_members else 'one person'} no longer"
    fields = entity.brought_by(event)
    for field in fields.values():
        if field.name not in before.fields and not field.is_optional:
            yield f"{named} must bring {field.name}, which it didn't bring before: declare it optional"
    for of_field, accepted in before.fields.items():
        if of_field not in fields:
            yield f"{named} brings {of_field} no longer"
        elif fault := _fault_of_field(fields[of_field], accepted):
            yield f"{named}: field {of_field} {fault}"


def _fault_of_field(field: EntityField, before: AcceptedField) -> str | None:
    """Return which values of a field are not accepted any more; None if all are."""
    if before.is_optional and not field.is_optional:
        return "is not optional any more"
    if (before.type, before.conversion) != (field.type, field.conversion):
        return "has another type"
    return _fault_of_choices(field, before) if before.choices else _fault_of_text(field, before)


def _fault_of_choices(field: EntityField, before: AcceptedField) -> str | None:
    accepted = check_of(field)(pa.array(before.choices, pa.string())).to_pylist()
    gone = [value for value, is_accepted in zip(before.choices, accepted, strict=True) if not is_accepted]
    return f"has the value {gone[0]} no longer" if gone else None


def _fault_of_text(field: EntityField, before: AcceptedField) -> str | None:
    if before.characters_max > field.characters_max:
        return f"has at most {field.characters_max} characters, and had {before.characters_max}"
    if before.flags and field.flags:
        kept = [value for value in field.flags if value in before.flags]
        return None if kept == list(before.flags) else "has other values, or in another order"
    if field.choices or not _includes(field.pattern, before.pattern):
        if not before.pattern:
            return "is free text no longer"
        return f"has another pattern: begin it with the one of before, as in ^({before.pattern[1:-1]}|…)$"
    return None


def _includes(pattern: str, before: str) -> bool:
    """Return whether a pattern is the one of before, or a choice that has it as its first alternative."""
    is_first = bool(before) and pattern.startswith(f"^({before[1:-1]}|") and _is_one_group(pattern[1:-1])
    return pattern == before or is_first


def _is_one_group(text: str) -> bool:
    """Return whether the parenthesis with which a regular expression begins is closed by its last character."""
    # What is escaped, or within brackets, closes nothing.
    bare = re.sub(r"\\.|\[[^\]]*\]", lambda found: "x" * len(found.group()), text)
    depth = 0
    for position, character in enumerate(bare):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return position == len(bare) - 1
    return False
