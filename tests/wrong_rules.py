"""Rules of fan-out, each wrong in one way: seeded into the simulation and into chaos, whose checks must find them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from processors.entities import consequences, entity_fold
from processors.entities.causes import NOTHING_KNOWN, Life
from processors.entities.consequences import Due
from processors.entities.rows import PreparedReading, Row, RowContext, RowId, rows_of
from processors.entities.timeline import Key, Submission, Timeline, Version
from processors.fan_out import partition_clock, person_entities, person_notices
from processors.fan_out.adoption import Adoption, Portion
from processors.fan_out.conflicts import Conflict
from processors.fan_out.entity_history import SubmissionId, WithoutEffect
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.history import PersonNotice
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_state import PersonState
from processors.fan_out.waiting_rules import WaitingRules
from schemas.declare import CANCELLED, Entity


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


def plan_no_later_days(of_partition: PartitionClock) -> list[str]:
    """Return nobody whose later days are to be put on the agenda."""
    of_partition._filled_after = None
    return []


#: The rule itself: `ForgetsAfterKill` may stand in its place.
_must_continue = PartitionClock.must_continue


class ForgetsAfterKill:
    """Forgets once to go on with the agenda in each partition that a worker has taken over with its state."""

    def __init__(self) -> None:
        #: By the id of the agenda of a partition: that object, and whether the worker has yet to forget.
        self._forgets: dict[int, tuple[Any, bool]] = {}

    def must_continue(self, of_partition: PartitionClock) -> bool:
        """Return whether to write a record to go on with; it is stored that one is on its way in any case."""
        agenda, has_state = of_partition._agenda, of_partition._stored["day"] != date.min
        _, forgets = self._forgets.setdefault(id(agenda), (agenda, has_state))
        goes_on = _must_continue(of_partition)
        if goes_on and forgets:
            self._forgets[id(agenda)] = (agenda, False)
        return goes_on and not forgets


def begin_any_day(of_partition: PartitionClock, day: date) -> None:
    """Begin a day, also one before the day of the partition."""
    of_partition.day, of_partition._next_day = day, of_partition._first_receipt_after(day)
    of_partition._must_look = True


#: The rule itself: `no_records_of_persons` may stand in its place.
_add_clock_record = FanOutOutputs.add_clock_record


def no_records_of_persons(outputs: FanOutOutputs, row: int, kind: str, person: str, day: date) -> None:
    """Write a record to go on with, but none for a person of whom a portion failed."""
    if not person:
        _add_clock_record(outputs, row, kind, person, day)


def fold_in_order_of_arrival(
    entity: Entity,
    submissions: Iterable[Submission],
    life: Life = NOTHING_KNOWN,
    others: Mapping[str, Timeline] | None = None,
) -> Timeline:
    """Fold an entity in the order of arrival: a submission takes effect after those that were received before."""
    return entity_fold.fold(entity, _not_before_the_last(submissions), life, others)


def _not_before_the_last(submissions: Iterable[Submission]) -> Iterator[Submission]:
    last = date.min
    for submission in sorted(submissions, key=lambda each: each.received):
        if submission.event != CANCELLED:
            last = max(last, submission.effective_on)
        yield submission._replace(effective_on=last)


def with_cancelled(submissions: Iterable[Submission]) -> Iterator[Submission]:
    """Yield the submissions, those that are cancelled too."""
    return (submission for submission in submissions if submission.event != CANCELLED)


#: The rule itself: `expire_on_last_day` may stand in its place.
_expiries = consequences.expiries


def expire_on_last_day(entity: Entity, key: Key, version: Version) -> Iterator[Due]:
    """Yield the days on which an open version expires: already its last day, instead of the next one."""
    for due in _expiries(entity, key, version):
        yield due._replace(day=max(version.begins, due.day - timedelta(days=1)))


#: The rules themselves: those below may stand in their place.
_next_persons, _begin_adoption = Adoption.next_portion, Adoption.begin


def every_second_portion(adoption: Adoption) -> Portion:
    """Return a portion of the persons who adopt declarations, and leave out the one before it."""
    _next_persons(adoption)
    return _next_persons(adoption)


def go_on_for_others(adoption: Adoption) -> Portion:
    """Go on with the adoption of earlier declarations as if everybody so far had adopted those of now."""
    if adoption._stored is not None and not adoption._stored["complete"]:
        adoption._stored = {**adoption._stored, "number": adoption._number}
    return _next_persons(adoption)


def adopt_again(adoption: Adoption, number: int) -> bool:
    """Begin to adopt declarations, also if that has begun or is complete."""
    if adoption._stored is not None and adoption._stored["number"] == number:
        adoption._stored = {**adoption._stored, "number": number - 1}
    return _begin_adoption(adoption, number)


def adopted_at_once(adoption: Adoption, number: int) -> bool:
    """Begin to adopt declarations, and store at once that they are adopted."""
    has_begun = _begin_adoption(adoption, number)
    if has_begun and adoption._stored is not None:
        digests = [{"name": name, "digest": digest} for name, digest in adoption._digests.items()]
        adoption._put({**adoption._stored, "digests": digests})
    return has_begun


def adopt_whatever_the_number(adoption: Adoption, number: int) -> None:
    """Let a worker adopt declarations that are newer than its own."""


def nothing_waits(_: object) -> bool:
    """Let every entry take effect when it is received."""
    return False


def plan_nothing(_: WaitingRules, __: str, ___: date | None) -> None:
    """Have nothing that waits on the agenda: it takes effect at the next record of the person, if there is one."""


def no_measures_ahead(of_person: PersonAggregate) -> list[PersonNotice]:
    """Return the notices that wait, but none that begins a protection measure."""
    notices = (each.entry for each in of_person.waiting)
    return [each for each in notices if isinstance(each, PersonNotice) and not each.begins_protection]


def nothing_cancelled(_: PersonAggregate, __: PersonNotice) -> None:
    """Find no notice that waits and is cancelled."""


def row_of_the_record(_: FanOutOutputs, row: int, __: str, ___: PersonNotice | None) -> int:
    """Return the row of the record at which a notice takes effect instead of one of its own."""
    return row


def no_late_histories(*_: Any, **__: Any) -> list[Any]:
    """Return nothing: a late entry changes the rows of the person only."""
    return []


#: The rule itself: `with_first_reasons` may stand in its place.
_right_conflicts = person_entities._conflicts


def with_first_reasons(
    person: str,
    entity: str,
    before: Mapping[SubmissionId, WithoutEffect],
    after: Mapping[SubmissionId, WithoutEffect],
) -> Iterator[Conflict]:
    """Leave a conflict as it is when its event has no effect for another reason than before."""
    known = {id_: before[id_] for id_ in after if id_ in before}
    return _right_conflicts(person, entity, before, {**after, **known})
