"""Which rules of a declared entity are in force on which day."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.declare import Consequence, Entity, Invariant

#: From a day on, these invariants and consequences are in force.
Law = tuple[str, Sequence[Invariant], Sequence[Consequence]]


def law_of(entity: Entity) -> list[Law]:
    """Return the rules of an entity by the day since which they are in force; the first of all days have no day."""
    laws: list[Law] = [("", entity.invariants, entity.follows)]
    for amendment in entity.amendments:
        in_force = [law for law in laws if law[0] <= amendment.first_day.isoformat()][-1]
        day, invariants, follows = in_force
        if amendment.invariants is not None:
            invariants = amendment.invariants
        if amendment.follows is not None:
            follows = amendment.follows
        if amendment.correction:
            laws[laws.index(in_force)] = (day, invariants, follows)
        else:
            laws.append((amendment.first_day.isoformat(), invariants, follows))
    return laws
