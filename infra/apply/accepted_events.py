"""What the events of declared entities may bring, as `declarations.json` has it of those that were applied."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from schemas.declare import Entity, EntityField
from schemas.systems import SYSTEMS


class AcceptedField(BaseModel, frozen=True, extra="forbid"):
    """The values of a field that an event may bring, by the words of `EntityField`."""

    type: str
    characters_max: int
    pattern: str = ""
    choices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    conversion: str = ""
    is_optional: bool = False


class AcceptedEvent(BaseModel, frozen=True, extra="forbid"):
    """What an event may bring: its fields and those of the key, by name."""

    fields: Mapping[str, AcceptedField]
    of_members: bool = False


#: The events of each entity by the entity's id, each by its name.
AcceptedEvents = Mapping[str, Mapping[str, AcceptedEvent]]


def declared_events() -> dict[str, dict[str, AcceptedEvent]]:
    """Return the events of all entities that a system submits."""
    return {entity.id: events_of(entity) for system in SYSTEMS.values() for entity in system.owns}


def events_of(entity: Entity) -> dict[str, AcceptedEvent]:
    """Return the events of an entity, by name."""
    return {
        event.name: AcceptedEvent(
            fields={name: _accepted(field) for name, field in entity.brought_by(event).items()},
            of_members=event.of_members,
        )
        for event in entity.events
    }


def _accepted(field: EntityField) -> AcceptedField:
    return AcceptedField(**{name: getattr(field, name) for name in AcceptedField.model_fields})
