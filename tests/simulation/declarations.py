"""Declarations that change while a history runs: what those of before read, and which of them a new worker has.

A worker of the fan-out step has the declarations that are installed when it starts. Those of before differ in some
readings, so that what is published until the adoption differs too; the end must not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from processors.entities.rows import HISTORIES, READINGS, PreparedReading
from processors.fan_out import FanOutProcessor
from processors.fan_out.declared import Declared
from schemas.declaration_digests import RULES, declaration_digests
from tests.unit.processors.submissions import high_sealer

#: The numbers of the declarations of before and of now.
FORMER: Final = 1
CURRENT: Final = 2

#: Makes another reading of one; None if it is no reading at all.
Change = Callable[[PreparedReading], PreparedReading | None]
#: Makes a reading of one that a step works with.
Wrap = Callable[[PreparedReading], PreparedReading]


@dataclass(frozen=True)
class AdoptionPlan:
    """Which readings the declarations of before have, and when those of now are installed.

    `installed_at` is the part of the submissions before the command to adopt that are submitted by then (0 to 1).
    `restarted` are the slots of fan-out that are restarted at once; the others go on with the declarations of before.
    If it is `late`, the command comes after all other submissions: then nothing else makes up for what it leaves out.
    """

    former: Declared
    installed_at: float
    restarted: tuple[int, ...]
    late: bool


def draw_adoption_plan(seed: int, workers: int) -> AdoptionPlan:
    """Draw a history's adoption plan."""
    chance = random.Random(f"adoption {seed}")  # noqa: S311 - repeatable on purpose
    entities = [id_ for id_, readings in READINGS.items() if readings]
    changed = chance.sample(entities, chance.randint(1, 3))
    return AdoptionPlan(
        former_declarations(
            {id_: chance.choice(CHANGES) for id_ in changed}, (RULES,) if chance.random() < 0.3 else ()
        ),
        chance.choice((0.0, 0.5, 1.0, 1.0)),
        tuple(slot for slot in range(workers) if chance.random() < 0.5),
        late=chance.random() < 0.5,
    )


class Installed:
    """The declarations that are installed now. `wrap` is applied to every reading of a worker's declarations."""

    def __init__(self, plan: AdoptionPlan | None, wrap: Wrap | None = None) -> None:
        self._former, self._wrap = None if plan is None else plan.former, wrap
        self.number = CURRENT if plan is None else FORMER

    def processor(self) -> FanOutProcessor:
        """Return the processor of a worker that starts now."""
        declared = self._former if self.number == FORMER and self._former is not None else Declared()
        if self._wrap is not None:
            declared = replace(
                declared,
                readings=_wrapped(declared.readings, self._wrap),
                histories=_wrapped(declared.histories, self._wrap),
            )
        return FanOutProcessor(self.number, declared, high_sealer())


def former_declarations(changes: Mapping[str, Change], others: Sequence[str] = ()) -> Declared:
    """Return declarations that differ from those of now in the readings of these entities, and in `others` by name."""
    readings = {
        id_: tuple(reading for reading in map(change, READINGS[id_]) if reading is not None)
        for id_, change in changes.items()
    }
    histories = {
        id_: tuple(reading for reading in of_entity if reading.history) for id_, of_entity in readings.items()
    }
    digests = {
        name: f"former {digest}"[: len(digest)] if name in changes or name in others else digest
        for name, digest in declaration_digests().items()
    }
    return Declared({**READINGS, **readings}, {**HISTORIES, **histories}, digests)


def _wrapped(
    readings: Mapping[str, tuple[PreparedReading, ...]], wrap: Wrap
) -> dict[str, tuple[PreparedReading, ...]]:
    return {id_: tuple(map(wrap, of_entity)) for id_, of_entity in readings.items()}


def absent(reading: PreparedReading) -> PreparedReading | None:
    """Declare no such reading: all its rows are new."""
    return None


def without_history(reading: PreparedReading) -> PreparedReading:
    """Declare no history: all its rows are new."""
    return replace(reading, history="")


def of_everybody(reading: PreparedReading) -> PreparedReading:
    """Declare no coverage: the rows of others go."""
    return replace(reading, covered_by=None, for_enrolled=False)


def other_columns(reading: PreparedReading) -> PreparedReading:
    """Declare that two columns of one type have each other's values, unless one points to the person's place."""
    types = [declared.type for declared in reading.reads.fields]
    candidates = range(len(reading.reads.entity.key_fields), len(types))
    for first in candidates:
        for second in candidates:
            if first < second and types[first] == types[second] and not reading.located & {first, second}:
                positions = list(reading.positions)
                positions[first], positions[second] = positions[second], positions[first]
                return replace(reading, positions=tuple(positions))
    return reading


#: All changes.
CHANGES: Final[tuple[Change, ...]] = (absent, without_history, of_everybody, other_columns)
