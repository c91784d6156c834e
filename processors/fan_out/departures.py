"""Persons who moved out and are registered nowhere: after 31 days a clerk is to find out where they are.

The day is on the agenda of such a person alone, and in `PersonAggregate.entities` as if a declared entity changed on
it; None stands for a conflict that was opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from processors.fan_out.conflicts import WITHDRAWN, Conflict
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_cache import PersonCache
from processors.fan_out.person_entities import PersonEntities
from processors.fan_out.person_state import PersonState

#: Stands for the departure on the agenda. It is upper-case, which the id of an entity can't be.
DEPARTURE: Final = "DEPARTURE"
KIND: Final = "DEPARTED_NOT_ARRIVED"
#: So many days after the move out the conflict opens: within 14 days after moving, one has to register again
#: (住民基本台帳法第22条), and a card is void after the same 31 days.
OVERDUE_AFTER: Final = timedelta(days=31)


def departure(person: str, state: PersonState) -> Conflict | None:
    """Return the conflict of a person whose last confirmed registration ended by a move out; None for anybody else."""
    if state.confirmed is not None or not state.life or state.life[-1].dead or state.life[-1].abroad:
        return None
    for after, before in pairwise(reversed(state.life)):
        origin = before.municipality
        if origin is not None:
            moved_out = state.departures.get(origin)
            destination = moved_out.to if moved_out is not None and not state.protected else None
            id_ = f"departure/{person}/{origin}/{after.begins}"
            return Conflict(id_, KIND, person, after.begins, None, origin, destination)
    return None


def follow_departure(
    code: str, before: PersonState | None, persons: PersonCache, outputs: FanOutOutputs, day: date
) -> None:
    """Publish the conflict that opens, changes or ends on a day, and plan it for the day on which it will open.

    The person's state was `before`; None: what it is now. Nearly always, there is nothing to do.
    """
    person = persons.peek(code)
    if person.state.confirmed is not None and DEPARTURE not in person.entities:
        return
    known = dict(person.entities)
    outputs.add_conflicts(_changed(code, before or person.state, person, persons.entities, day))
    if person.entities != known:
        persons.get(code)


def _changed(
    code: str, before: PersonState, person: PersonAggregate, entities: PersonEntities, day: date
) -> Iterator[Conflict]:
    old, new = departure(code, before), departure(code, person.state)
    was_open = DEPARTURE in person.entities and person.entities[DEPARTURE] is None
    opens_on = None if new is None else new.effective_on + OVERDUE_AFTER
    is_open = opens_on is not None and opens_on <= day
    if old is not None and was_open and not (is_open and new is not None and new.id == old.id):
        yield old._replace(status=WITHDRAWN)
    if new is not None and is_open and not (was_open and new == old):
        yield new
    next_on = None if is_open else opens_on
    entities.plan(code, DEPARTURE, person.entities.get(DEPARTURE), next_on)
    if new is None:
        person.entities.pop(DEPARTURE, None)
    else:
        person.entities[DEPARTURE] = next_on
