"""The declared entities of a person: their submissions, the rows of a day, and what differs from the rows sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from processors.entities.causes import Life
from processors.entities.rows import (
    ACTIVE,
    DEPENDENCIES,
    DERIVED,
    ENTITIES,
    FOLLOWED,
    HIGH_DEPENDENCIES,
    HIGH_ENTITIES,
    HISTORIES,
    IN_ORDER,
    Row,
    RowContext,
    RowId,
    rows_of,
)
from processors.entities.timeline import NoEffect, Submission, Timeline
from processors.fan_out.conflicts import OPEN, WITHDRAWN, Conflict
from processors.fan_out.declared import Declared
from processors.fan_out.domains import DOMAIN_ORDER
from processors.fan_out.entity_history import (
    EntityHistory,
    SubmissionId,
    WithoutEffect,
    read_entity,
    write_entity,
)
from processors.fan_out.known_histories import (
    NO_HISTORY,
    EntityKnowledge,
    HistoryRows,
    Known,
    folded,
    rows_of_histories,
)
from processors.fan_out.partition_clock import agenda_key
from processors.rejections import RejectionCode
from schemas.declare import CANCELLED
from schemas.systems import SYSTEMS
from streams.contract import StateStore


class RowDifference(NamedTuple):
    """A row of a reading: to be upserted, or deleted (`row` is None)."""

    id: RowId
    row: Row | None

    @property
    def columns(self) -> tuple[str | None, ...]:
        """The columns of the row; the key alone if it is deleted."""
        return self.id.key if self.row is None else self.row.columns


class EntityDifferences(NamedTuple):
    """What became different: the rows of readings, and the submissions that have no effect, or have one again.

    `is_high` is whether they are those of the high level.
    """

    rows: list[RowDifference]
    conflicts: list[Conflict]
    is_high: bool = False


#: Of an entity that isn't stored.
_NOTHING_PUBLISHED: Final = EntityHistory()


class PersonEntities:
    """The entities of the persons of a batch, each read once and written once.

    A person has two histories of an entity that domains of both levels read: that of the high level has only the rows
    sent to the domains of that level, and both it and the entities of that level are in another store, by `high` below.
    """

    def __init__(self, store: StateStore, agenda: StateStore, declared: Declared) -> None:
        self._store, self._agenda, self._declared = store, agenda, declared
        self._histories: dict[str, EntityHistory] = {}
        self._touched: dict[str, None] = {}

    def load(self, entities_of: Mapping[str, Collection[str]]) -> None:
        """Read the entities of persons; `entities_of` has for each person the ids of those that are stored."""
        keys = {_key(person, id_): id_ for person, ids in entities_of.items() for id_ in ids}
        if keys:
            stored = self._store.get_many(keys)
            self._histories |= {key: read_entity(keys[key], value) for key, value in stored.items()}

    def add(self, person: str, entities: Collection[str], submission: Submission) -> RejectionCode | str:
        """Add a submission to the history of its entity, and return the entity's id.

        `entities` are those of the person. Return a RejectionCode if it repeats a number or cancels what isn't there.
        """
        owned = [entity.id for entity in SYSTEMS[submission.system].owns]
        known = {
            earlier.id: (id_, earlier)
            for id_ in entities
            if id_ in owned
            for earlier in self._history(person, id_).submissions
        }
        repeated = known.get(submission.id)
        if repeated is not None:
            if _content(repeated[1]) == _content(submission):
                return RejectionCode.DUPLICATE
            several = submission.members is not None
            return RejectionCode.NUMBER_TAKEN_BY_MEMBER if several else RejectionCode.NUMBER_TAKEN
        entity = self._entity_of(submission, known)
        if entity is None:
            several = submission.members is not None
            return RejectionCode.CANCELS_OTHER_PERSONS if several else RejectionCode.CANCELS_UNKNOWN
        if isinstance(entity, RejectionCode):
            return entity
        self._history(person, entity).submissions.append(submission)
        self._touched[_key(person, entity)] = None
        return entity

    def _entity_of(
        self, submission: Submission, known: Mapping[SubmissionId, tuple[str, Submission]]
    ) -> RejectionCode | str | None:
        """Return the entity that a submission is about; None if it cancels one that isn't known."""
        if submission.event != CANCELLED:
            return SYSTEMS[submission.system].entity_of(submission.event)[0].id
        cancelled = known.get((submission.system, submission.part or "", submission.cancels or ""))
        if cancelled is None or cancelled[1].event == CANCELLED:
            return None
        if cancelled[1].members != submission.members:
            return RejectionCode.CANCELS_OTHER_PERSONS
        already = (
            earlier.cancels == submission.cancels and earlier.part == submission.part
            for _, earlier in known.values()
            if earlier.event == CANCELLED
        )
        return RejectionCode.CANCELS_CANCELLED if any(already) else cancelled[0]

    def timelines(
        self,
        person: str,
        entities: Collection[str],
        life: Life,
        wanted: Collection[str],
        *,
        is_high: bool = False,
    ) -> dict[str, Timeline]:
        """Return the timelines of the wanted entities and of those that they depend on, in the order of dependency.

        `entities` are all those of the person. `is_high` is whether rows for domains of the high level are wanted.
        """
        timelines: dict[str, Timeline] = {}
        for id_ in _with_dependencies(tuple(wanted), tuple(entities), is_high=is_high):
            timelines[id_] = folded(id_, self._submissions(person, id_), life, timelines)
        return timelines

    def histories(
        self,
        person: str,
        wanted: Iterable[str],
        timelines: Mapping[str, Timeline],
        context: RowContext,
        known: Known,
    ) -> dict[str, HistoryRows]:
        """Return the rows of the histories of those of the wanted entities that have one.

        `timelines` are those of now, as `timelines` returns them.
        """
        found: dict[str, HistoryRows] = {}
        with_history = [id_ for id_ in wanted if HISTORIES[id_]]
        if len(with_history) > 1:
            known = known._replace(lives=cache(known.lives))
        for id_ in with_history:
            received = {
                other: self._submissions(person, other)
                for other in timelines
                if other == id_ or other in FOLLOWED[id_]
            }
            sent = self._histories.get(_key(person, id_), _NOTHING_PUBLISHED).rows
            of_entity = EntityKnowledge(
                id_, self._declared.histories[id_], received, timelines[id_], sent, context
            )
            found[id_] = rows_of_histories(of_entity, known)
        return found

    def _submissions(self, person: str, entity: str) -> Sequence[Submission]:
        history = self._histories.get(_key(person, entity))
        return history.submissions if history is not None else ()

    def publish(
        self,
        person: str,
        entity_id: str,
        timeline: Timeline,
        context: RowContext,
        history: HistoryRows = NO_HISTORY,
    ) -> EntityDifferences:
        """Return what differs from what was published of an entity, and note that it is published."""
        rows = dict(rows_of(timeline, self._declared.readings[entity_id], context))
        rows |= history.rows
        return self._publish(_key(person, entity_id), rows, timeline.without_effect, history.unchanged)

    def publish_high(
        self, person: str, entity_id: str, timeline: Timeline, context: RowContext
    ) -> EntityDifferences:
        """Do the same for the domains of the high level, which have no rows of what has ended.

        A submission without effect is a conflict of that level only if the entity is of it.
        """
        of_day = rows_of(timeline, self._declared.high_readings[entity_id], context)
        rows = {id_: row for id_, row in of_day if row.status == ACTIVE}
        without_effect = timeline.without_effect if ENTITIES[entity_id].is_high else ()
        differences = self._publish(_key(person, entity_id, is_high=True), rows, without_effect)
        return differences._replace(is_high=True)

    def _publish(
        self,
        key: str,
        rows: Mapping[RowId, Row],
        submissions: Iterable[tuple[Submission, NoEffect]],
        unchanged: Iterable[RowId] = (),
    ) -> EntityDifferences:
        history = self._histories.get(key, _NOTHING_PUBLISHED)
        digests = {id_: row.digest for id_, row in rows.items()}
        sent = history.rows
        digests |= {id_: sent[id_] for id_ in unchanged}
        changed = [RowDifference(id_, row) for id_, row in rows.items() if sent.get(id_) != digests[id_]]
        changed += [RowDifference(id_, None) for id_ in sent if id_ not in digests]
        if len(changed) > 1:
            changed.sort(key=_row_order)
        without_effect = {s.id: WithoutEffect(s.effective_on, reason.value) for s, reason in submissions}
        conflicts: list[Conflict] = []
        if without_effect != history.conflicts:
            person, entity_id = key.replace(_HIGH, "").split("/")
            conflicts += _conflicts(person, entity_id, history.conflicts, without_effect)
        if changed or conflicts:
            history = self._history_of(key)
            history.rows, history.conflicts = digests, without_effect
            self._touched[key] = None
        return EntityDifferences(changed, conflicts)

    def withdraw_conflicts(self, person: str, entity: str) -> list[Conflict]:
        """Return the conflicts of an entity that isn't declared any more, and note that they are withdrawn."""
        history = self._history(person, entity)
        withdrawn = list(_conflicts(person, entity, history.conflicts, {}))
        if withdrawn:
            history.conflicts = {}
            self._touched[_key(person, entity)] = None
        return withdrawn

    def plan(
        self, person: str, entity: str, before: date | None, after: date | None, until: date = date.max
    ) -> None:
        """Have an entry on the agenda for the next day of an entity, and none for the one before.

        `until` is the last day that is put on the agenda.
        """
        if before == after:
            return
        if before is not None and before <= until:
            self._agenda.delete(agenda_key(before, person, entity))
        if after is not None and after <= until:
            self._agenda.put(agenda_key(after, person, entity), {"entity": entity})

    def is_empty(self, person: str, entity: str, *, is_high: bool = False) -> bool:
        """Return whether nothing was submitted or published of an entity."""
        history = self._histories.get(_key(person, entity, is_high=is_high))
        return history is None or not (history.submissions or history.rows or history.conflicts)

    def _history(self, person: str, entity: str, *, is_high: bool = False) -> EntityHistory:
        return self._history_of(_key(person, entity, is_high=is_high))

    def _history_of(self, key: str) -> EntityHistory:
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = EntityHistory()
        return history

    def load_high(self, person: str, entity: str, stored: Mapping[str, Any]) -> None:
        """Take over the history of the high level from its record, as `high` returns it."""
        self._histories[_key(person, entity, is_high=True)] = read_entity(entity, stored)

    def high(self, person: str, entity: str) -> dict[str, Any]:
        """Return the record of the history of the high level, with the fields of `state-fan-out-entities`."""
        return write_entity(self._history(person, entity, is_high=True))

    def flush(self) -> None:
        """Write the entities of which something was added or published, in the order of the first change.

        Those of the high level are written by `SealedPersons`.
        """
        for key in self._touched:
            if _HIGH not in key:
                self._store.put(key, write_entity(self._histories[key]))


@lru_cache(maxsize=1_000)
def _with_dependencies(wanted: tuple[str, ...], entities: tuple[str, ...], *, is_high: bool) -> Sequence[str]:
    """Return the wanted entities and those of `entities` that they depend on, in the order of dependency."""
    dependencies = HIGH_DEPENDENCIES if is_high else DEPENDENCIES
    of_wanted = frozenset[str]().union(*(dependencies[id_] for id_ in wanted))
    needed = {*wanted, *of_wanted.intersection((*entities, *DERIVED))}
    return [id_ for id_ in IN_ORDER if id_ in needed]


#: In the key of a history of the high level; no entity has an id with it.
_HIGH: Final = "~"


def _key(person: str, entity: str, *, is_high: bool = False) -> str:
    return f"{person}/{_HIGH if is_high or entity in HIGH_ENTITIES else ''}{entity}"


def _content(submission: Submission) -> Submission:
    return submission._replace(received="")


def _row_order(difference: RowDifference) -> tuple[int, str, str, tuple[str, ...]]:
    id_ = difference.id
    return DOMAIN_ORDER[id_.domain], id_.reading, id_.part or "", id_.key


def _conflicts(
    person: str,
    entity: str,
    before: Mapping[SubmissionId, WithoutEffect],
    after: Mapping[SubmissionId, WithoutEffect],
) -> Iterator[Conflict]:
    for id_ in sorted(before.keys() | after.keys()):
        if before.get(id_) == after.get(id_):
            continue
        system, part, number = id_
        effective_on, code = after[id_] if id_ in after else before[id_]
        yield Conflict(
            id=f"event/{person}/{system}/{part or '-'}/{number}",
            kind="EVENT_WITHOUT_EFFECT",
            person=person,
            effective_on=effective_on,
            domain=system,
            municipality=part or None,
            entity=entity,
            number=number,
            code=code,
            status=OPEN if id_ in after else WITHDRAWN,
        )
