"""Which events of declared entities are accepted, person by person in the order of receipt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from infra.verification.reference.notice import EntityEvent
from schemas.declare import CANCELLED
from schemas.systems import SYSTEMS

#: System, part ("" for a national system) and number of a submission.
EventId = tuple[str, str, str]


def id_of(event: EntityEvent, number: str | None = None) -> EventId:
    """Return who submitted an event, with its number or another one."""
    return event.system, event.part or "", number or event.number


@dataclass
class EntityRegister:
    """The accepted events of one person by submitter and number, and the cancellations among them.

    An event that is equal to an accepted one is a duplicate and changes nothing.
    """

    accepted: dict[EventId, EntityEvent] = field(default_factory=dict)
    cancelled: set[EventId] = field(default_factory=set)

    def submit(self, event: EntityEvent) -> str | None:
        """Accept an event, or return the reason (a short code) why it is rejected or a duplicate."""
        earlier = self.accepted.get(id_of(event))
        if earlier is not None:
            return "duplicate" if replace(earlier, received=event.received) == event else "number-taken"
        if event.event == CANCELLED:
            target = id_of(event, event.cancels)
            if target not in self.accepted or self.accepted[target].event == CANCELLED:
                return "cancels-nothing"
            if self.accepted[target].others != event.others:
                return "cancels-others"
            if target in self.cancelled:
                return "cancelled-already"
            self.cancelled.add(target)
        self.accepted[id_of(event)] = event
        return None

    def in_effect(self, entity_id: str) -> Iterator[EntityEvent]:
        """Yield the events of an entity that aren't cancelled."""
        for id_, event in self.accepted.items():
            counts = event.event != CANCELLED and id_ not in self.cancelled
            if counts and SYSTEMS[event.system].entity_of(event.event)[0].id == entity_id:
                yield event
