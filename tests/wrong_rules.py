"""Rules of fan-out, each wrong in one way: seeded into the simulation and into chaos, whose checks must find them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from processors.entities.rows import PreparedReading, Row, RowContext, RowId, rows_of
from processors.entities.timeline import Timeline
from processors.fan_out import partition_clock, person_notices
from processors.fan_out.history import PersonNotice
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person_state import PersonState


def last_registration(state: PersonState) -> str | None:
    """Choose the registration that was received last: a false one takes the place of the person's own."""
    standing = [(entry.rank, code) for code, entry in state.registers.items() if entry.resident]
    return max(standing)[1] if standing else None


def end_any_protection(state: PersonState, notice: PersonNotice) -> None:
    """End the protection measure, whichever registration is the confirmed one."""
    person_notices._set_protected(state, notice, protected=False)


def rows_of_next_day(
    timeline: Timeline, readings: Sequence[PreparedReading], context: RowContext
) -> Iterator[tuple[RowId, Row]]:
    """Yield the rows of the day that follows: events take effect before their day."""
    yield from rows_of(timeline, readings, replace(context, day=context.day + timedelta(1)))


#: The rule itself: `portion_without_last` may stand in its place.
_next_portion = PartitionClock.next_portion


def portion_without_last(of_partition: PartitionClock) -> list[str]:
    """Return a portion of the agenda; a full one without its last person, of whom nothing is due any more."""
    persons = _next_portion(of_partition)
    if len(persons) == partition_clock.PORTION:
        of_partition.take_off(persons.pop())
    return persons
