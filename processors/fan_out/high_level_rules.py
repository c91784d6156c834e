"""The rules of fan-out for the high level: what is known, published and planned of it is sealed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from processors.entities.rows import HIGH_DEPENDENCIES
from processors.entities.timeline import next_day
from processors.fan_out.adoption import Adoption
from processors.fan_out.entries import ADOPTING, DUE, EVENT, PersonChange, submission_of
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person_cache import PersonCache
from processors.rejections import RejectionCode
from schemas.systems import SYSTEMS

#: Why a record can't be processed: it came in clear although its system is of the high level, or the reverse.
NOT_SEALED: Final = "not sealed"
SEALED_IN_ERROR: Final = "sealed in error"


class HighLevelRules:
    """The rules for some records of one partition, as far as they concern the high level.

    `process` processes a sealed record. The other methods publish what follows at this level from other records.
    """

    def __init__(
        self, outputs: FanOutOutputs, persons: PersonCache, clock: PartitionClock, adoption: Adoption
    ) -> None:
        self._persons, self._outputs, self._clock, self._adoption = persons, outputs, clock, adoption

    def process(self, row: int, change: PersonChange) -> str | None:
        """Process a sealed record. Return a short reason if this version of the step can't."""
        self._clock.receive(change.received)
        if change.kind == EVENT:
            return self._add_event(row, change)
        if change.kind == DUE:
            self.publish(row, change.person)
        elif change.kind == ADOPTING:
            # As at the standard level: the partition may have adopted everything since, so look at everything.
            self._adopt(row, change.person, self._adoption.names)
        else:
            return SEALED_IN_ERROR
        return None

    def _add_event(self, row: int, change: PersonChange) -> str | None:
        submission = submission_of(change)
        if isinstance(submission, str):
            return submission
        if not SYSTEMS[submission.system].is_high:
            return SEALED_IN_ERROR
        known = self._persons.high.peek(change.person)
        entities = self._persons.entities
        entity = entities.add(change.person, known.entities if known else (), submission)
        if isinstance(entity, RejectionCode):
            self._outputs.reject(row, entity)
            return None
        self._persons.high.get(change.person).entities.setdefault(entity, None)
        self.publish(row, change.person, entity)
        return None

    def work_off(self, row: int, keys: Sequence[str]) -> None:
        """Publish what is due of persons with these keys; for one of whom that fails, write a sealed record."""
        persons = self._persons.high.load_keys(keys)
        due = [code for code in persons if self._persons.high.is_due(code, self._clock.day)]
        self._persons.load(due)
        for code in due:
            try:
                self.publish(row, code)
            except Exception:  # An error about one person must not stop the days of all others.
                self._outputs.add_clock_record(row, DUE, code, self._clock.day, is_high=True)

    def adopt(self, row: int, keys: Sequence[str], changed: Collection[str]) -> None:
        """Let the persons with these keys adopt the declarations that have changed, given by their names.

        For one of whom that fails, write a sealed record.
        """
        persons = self._persons.high.load_keys(keys)
        self._persons.load(persons)
        for code in persons:
            try:
                self._adopt(row, code, changed)
            except Exception:  # An error about one person must not stop all others.
                self._outputs.add_clock_record(row, ADOPTING, code, self._clock.day, is_high=True)

    def _adopt(self, row: int, code: str, changed: Collection[str]) -> None:
        self._publish(row, code, lambda id_: not ({id_} | HIGH_DEPENDENCIES[id_]).isdisjoint(changed))

    def publish(self, row: int, code: str, changed: str | None = None) -> None:
        """Publish what differs of a person on the day of the partition.

        With `changed` only of that entity, and of those that depend on it.
        """
        self._publish(
            row, code, lambda id_: changed is None or id_ == changed or changed in HIGH_DEPENDENCIES[id_]
        )

    def _publish(self, row: int, code: str, is_wanted: Callable[[str], bool]) -> None:
        known = self._persons.high.peek(code)
        wanted = [id_ for id_ in known.readable() if is_wanted(id_)] if known else []
        if known is None or not wanted:
            return
        person, day, entities = self._persons.peek(code), self._clock.day, self._persons.entities
        life = person.life(self._persons.archive_of(code))
        all_entities = [*person.entities, *known.entities]
        timelines = entities.timelines(code, all_entities, life, wanted, is_high=True)
        context = person.row_context(day, timelines)
        before = dict(known.entities)
        for id_ in wanted:
            differences = entities.publish_high(code, id_, timelines[id_], context)
            next_on = next_day(day, [timelines[id_]])
            if next_on is not None or not entities.is_empty(code, id_, is_high=True):
                known.entities[id_] = next_on
            else:
                known.entities.pop(id_, None)
            if differences.rows or differences.conflicts or known.entities != before:
                self._persons.high.get(code)
            self._outputs.add_entity(row, code, known.next_revision, differences, day)
