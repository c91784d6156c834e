"""Entities that aren't declared any more: their submissions stay, should they be declared again, and nothing else."""

from __future__ import annotations

from processors.entities.rows import ENTITIES
from processors.fan_out.departures import DEPARTURE
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.person_cache import PersonCache


def retire_undeclared(code: str, persons: PersonCache, outputs: FanOutOutputs) -> None:
    """Take entities of a person that aren't declared any more off the agenda, and withdraw their conflicts."""
    person = persons.peek(code)
    for id_ in [id_ for id_ in person.entities if id_ not in ENTITIES and id_ != DEPARTURE]:
        outputs.add_conflicts(persons.entities.withdraw_conflicts(code, id_))
        if person.entities[id_] is not None:
            persons.entities.plan(code, id_, person.entities[id_], None)
            persons.get(code).entities[id_] = None
