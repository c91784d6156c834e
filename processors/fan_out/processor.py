"""The fan-out step: from `person.change` to `change.<domain>` and what belongs to it.

That is `protection` in the same transaction, `case.dispatched`, `conflict` and `rejected.<system>`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from functools import partial
from typing import Final

from processors.entities.rows import (
    BY_RESIDENCE_ALONE,
    DEPENDENCIES,
    HISTORIES,
    IS_ACCOUNT_READ,
)
from processors.entities.timeline import next_day
from processors.fan_out.adoption import Adoption
from processors.fan_out.affected_entities import (
    affected_beside_life,
    affected_entities,
    entities_of,
    is_seen_by_entities,
    opens_by_age_on,
)
from processors.fan_out.declared import Declared
from processors.fan_out.departures import follow_departure
from processors.fan_out.entries import (
    ADOPTING,
    DUE,
    EVENT,
    PersonChange,
    changes_of,
    history_entry,
    submission_of,
)
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.high_level_rules import NOT_SEALED, HighLevelRules
from processors.fan_out.history import PersonNotice, Receipt, Settlement
from processors.fan_out.known_histories import NO_HISTORY, Added, Known
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person import Entry, PersonAggregate
from processors.fan_out.person_cache import PersonCache
from processors.fan_out.person_state import PersonState
from processors.fan_out.retired_entities import retire_undeclared
from processors.fan_out.row_history import WITH_HISTORY, AppliedToRows, applied_to_rows, whole_history
from processors.fan_out.waiting_entries import can_wait, was_ahead
from processors.fan_out.waiting_rules import WaitingRules
from processors.rejections import RejectionCode
from processors.sealed_person_changes import opened_person_changes
from schemas.declaration_digests import RULES, history_of_rows
from schemas.declare import ACCOUNT
from schemas.systems import SYSTEMS
from streams.contract import Batch, Poison, Result, State
from streams.high_level import HighSealer

STORES: Final = {
    "persons": "state-fan-out-persons",
    "archive": "state-fan-out-archive",
    "entities": "state-fan-out-entities",
    "agenda": "state-fan-out-agenda",
    "clock": "state-fan-out-clock",
    "adoption": "state-fan-out-adoption",
    "sealed": "state-fan-out-sealed",
}

#: Kinds of records of `person.change` that are no entry of a person's history.
DAY_BEGUN: Final = "DAY_BEGUN"
CONTINUE: Final = "CONTINUE"
ADOPTED: Final = "ADOPTED"
_BY_THE_MESH: Final = frozenset({DAY_BEGUN, CONTINUE, DUE, ADOPTED, ADOPTING})


class FanOutProcessor:
    """Adds each record to its person's history, folds the history, and publishes the differences to the domains.

    Guarantees: after any number of records, the rows of the domains are the fold of each person's history on the day of
    the partition, in whatever order the records of different municipalities, enrolments, accounts and entities arrived.
    A domain receives only the facts that its rule allows, and nothing if none of them changes. A person's revision in a
    domain grows by one per change published. The output does not depend on how the input is divided into batches.

    `declarations` is the number under which `mesh apply` applied the declarations that this process has, `declared`.
    `sealer` has the keys of the high level; without them it can't process what is of that level.
    """

    def __init__(
        self,
        declarations: int = 0,
        declared: Declared | None = None,
        sealer: HighSealer | None = None,
    ) -> None:
        self._declarations, self._declared, self._sealer = declarations, declared or Declared(), sealer

    @property
    def stores(self) -> Mapping[str, str]:
        """The schema in the catalogue of each store."""
        return STORES

    def process(self, batch: Batch, state: State) -> Result:
        """Process records of one partition in the order of their offsets."""
        table, sealed, faults = opened_person_changes(batch.table, self._sealer)
        changes, outputs = changes_of(table), FanOutOutputs(table, self._sealer)
        clock, declared = PartitionClock(state), self._declared
        adoption = Adoption(state, self._declarations, declared.digests)
        persons = PersonCache(state, declared, (change.person for change in changes), self._sealer)
        high, poison = HighLevelRules(outputs, persons, clock, adoption), []
        rules = PersonChangeRules(outputs, persons, clock, adoption, high)
        for row, change in enumerate(changes):
            fault = faults.get(row) or (high if row in sealed else rules).process(row, change)
            if fault is not None:
                poison.append(Poison(0, row, fault))
            elif clock.must_continue():
                outputs.add_clock_record(row, CONTINUE, "", clock.day)
        persons.flush()
        clock.flush()
        adoption.flush()
        return Result(outputs.outputs(batch.meta.column("partition")[0].as_py()), poison)


class PersonChangeRules:
    """The rules for some records of one partition."""

    def __init__(
        self,
        outputs: FanOutOutputs,
        persons: PersonCache,
        clock: PartitionClock,
        adoption: Adoption,
        high: HighLevelRules,
    ) -> None:
        self._outputs, self._persons, self._clock, self._adoption = outputs, persons, clock, adoption
        self._high = high
        self._waiting = WaitingRules(outputs, persons, clock, self._publish_affected)

    def process(self, row: int, change: PersonChange) -> str | None:
        """Process the record in this row. Return a short reason if this version of the step can't."""
        self._clock.receive(change.received)
        if change.kind == EVENT:
            return self._add_event(row, change)
        if change.kind not in _BY_THE_MESH:
            return self._add_entry(row, change)
        self._follow(row, change)
        return None

    def _follow(self, row: int, change: PersonChange) -> None:
        """Process a record that no submitter causes: a day has begun, declarations were applied, or how to go on."""
        if change.kind == DAY_BEGUN:
            self._clock.begin(change.effective_on)
        elif change.kind == CONTINUE:
            self._work_off_portion(row)
        elif change.kind == DUE:
            retire_undeclared(change.person, self._persons, self._outputs)
            self._waiting.release(row, change.person)
            self._follow_departure(change.person)
            self._publish(row, change.person, entities_of(self._persons.get(change.person)))
        elif change.kind == ADOPTED:
            if self._adoption.begin(change.declarations or 0):
                self._outputs.add_clock_record(row, ADOPTING, "", self._clock.day)
        elif change.person:
            # If the person failed at first, the partition may have adopted everything since: so look at everything.
            self._adopt(row, change.person, self._adoption.names)
        else:
            self._adopt_portion(row)

    def _add_entry(self, row: int, change: PersonChange) -> str | None:
        entry = history_entry(change)
        if isinstance(entry, str):
            return entry
        person = self._persons.get(change.person)
        if person.waiting:
            self._waiting.release(row, change.person)
        if change.effective_on > self._clock.day and can_wait(entry):
            self._waiting.keep(row, change, entry)
            return None
        if person.lacks_history:
            self._publish_history(row, change.person, WITH_HISTORY)
        before, read_archive = person.state, self._persons.archive_of(change.person)
        applied = person.apply(entry, read_archive)
        done = applied and applied_to_rows(entry, applied, person, before, read_archive)
        self._outputs.add(row, change, person, before, done)
        is_last = applied is not None and applied.is_last
        self._publish_affected(row, change.person, before, entry, is_last=is_last)
        if person.waiting:
            self._waiting.end_of_cancelled(row, change.person, entry)
        return None

    def _publish_affected(
        self, row: int, code: str, before: PersonState, entry: Entry, *, is_last: bool
    ) -> None:
        """Publish what differs of declared entities of a person whose state has changed by an entry.

        `is_last` is whether it is the last one, in the order of effect and in time.
        """
        person = self._persons.peek(code)
        after, is_last = person.state, is_last and not was_ahead(entry)
        self._follow_departure(code, before)
        if is_seen_by_entities(before, after):
            self._high.publish(row, code)
            affected = affected_entities(before, after, entities_of(person), is_last=is_last)
            self._publish(row, code, affected)
            return
        if IS_ACCOUNT_READ and before.ledger != after.ledger:
            self._high.publish(row, code, ACCOUNT.id)
        # It may have been received before others that came first: then another life was known meanwhile.
        is_late = isinstance(entry, (PersonNotice, Settlement)) and not is_last
        wanted = affected_beside_life(before, person, is_late=is_late)
        if wanted:
            self._publish(row, code, wanted)

    def _follow_departure(self, code: str, before: PersonState | None = None) -> None:
        follow_departure(code, before, self._persons, self._outputs, self._clock.day)

    def _add_event(self, row: int, change: PersonChange) -> str | None:
        submission = submission_of(change)
        if isinstance(submission, str):
            return submission
        if SYSTEMS[submission.system].is_high:
            return NOT_SEALED
        person = self._persons.get(change.person)
        entity = self._persons.entities.add(change.person, person.entities, submission)
        if isinstance(entity, RejectionCode):
            self._outputs.reject(row, entity)
            return None
        person.entities.setdefault(entity, None)
        dependent = [id_ for id_ in entities_of(person) if entity in DEPENDENCIES[id_]]
        self._publish(row, change.person, [entity, *dependent], change.received)
        self._high.publish(row, change.person, entity)
        return None

    def _work_off_portion(self, row: int) -> None:
        """Publish what is due of the next persons; for one of whom that fails, write a record of the person."""
        persons = self._clock.next_portion()
        self._persons.load(persons)
        for code in persons:
            person = self._persons.get(code)
            if self._waiting.is_due(code):
                # By a record of the person: a fold that fails then holds up nobody else.
                self._clock.take_off(code)
                self._outputs.add_clock_record(row, DUE, code, self._clock.day)
                continue
            try:
                retire_undeclared(code, self._persons, self._outputs)
                self._follow_departure(code)
                self._publish(row, code, entities_of(person))
            except Exception:  # An error about one person must not stop the days of all others.
                self._clock.take_off(code)
                self._outputs.add_clock_record(row, DUE, code, self._clock.day)
        self._high.work_off(row, self._clock.next_sealed_portion())
        self._plan_next_year()

    def _plan_next_year(self) -> None:
        """Put days of the next year on the agenda, of as many persons as one record should."""
        persons = self._clock.next_to_plan()
        self._persons.load(persons)
        for code in persons:
            for id_, next_on in self._persons.peek(code).entities.items():
                if self._clock.is_to_plan(next_on):
                    self._persons.entities.plan(code, id_, None, next_on)

    def _adopt_portion(self, row: int) -> None:
        """Let the next persons adopt the declarations; for one of whom that fails, write a record of the person."""
        portion, changed = self._adoption.next_portion(), self._adoption.changed
        persons = portion.persons
        self._persons.load(persons)
        for code in persons:
            try:
                self._adopt(row, code, changed)
            except Exception:  # An error about one person must not stop all others.
                self._outputs.add_clock_record(row, ADOPTING, code, self._clock.day)
        self._high.adopt(row, portion.sealed_keys, changed)
        if persons or portion.sealed_keys:
            self._outputs.add_clock_record(row, ADOPTING, "", self._clock.day)

    def _adopt(self, row: int, code: str, changed: Collection[str]) -> None:
        """Publish what differs of a person by declarations that have changed, given by their names."""
        person = self._persons.peek(code)
        retire_undeclared(code, self._persons, self._outputs)
        if RULES in changed:
            before = person.state
            person.state = person.refolded(self._persons.archive_of(code))
            if person.state != before:
                self._persons.get(code)
                self._outputs.add_refolded(
                    row, code, person, before, AppliedToRows(deleted_on=self._clock.day)
                )
        self._adopt_history(row, code, person, changed)
        self._follow_departure(code)
        self._publish(
            row,
            code,
            [id_ for id_ in entities_of(person) if not ({id_} | DEPENDENCIES[id_]).isdisjoint(changed)],
        )

    def _adopt_history(self, row: int, code: str, person: PersonAggregate, changed: Collection[str]) -> None:
        """Publish the histories of a person's rows in the domains where they follow from other declarations now."""
        domains = {domain for domain in WITH_HISTORY if history_of_rows(domain) in changed}
        if person.lacks_history:
            self._publish_history(row, code, WITH_HISTORY)
        elif not (self._adoption.is_first or domains.isdisjoint(domain for domain, _ in person.state.rows)):
            self._publish_history(row, code, domains, replaces=True)

    def _publish_history(
        self, row: int, code: str, domains: Collection[str], *, replaces: bool = False
    ) -> None:
        """Publish the whole history of a person's rows in some domains, and note that it is published."""
        person, read_archive = self._persons.get(code), self._persons.archive_of(code)
        history = whole_history(person, read_archive, domains, replaces=replaces)
        self._outputs.add_history(row, code, person, history)

    def _publish(self, row: int, code: str, wanted: Collection[str], received: Receipt | None = None) -> None:
        """Publish what differs of declared entities of a person on the day of the partition.

        `received` is the receipt of a submission if nothing else is new.
        """
        person, day, entities = self._persons.peek(code), self._clock.day, self._persons.entities
        wanted = [id_ for id_ in wanted if not self._opens_later(code, person, id_)]
        if not wanted:
            return
        read_archive = self._persons.archive_of(code)
        life = person.residence if BY_RESIDENCE_ALONE.issuperset(wanted) else person.life(read_archive)
        timelines = entities.timelines(code, person.entities, life, wanted)
        context = person.row_context(day, timelines)
        new = received and Added(received, dict(person.entities), life, person.life_known_until)
        known = Known(partial(person.known_lives, read_archive), new or None, person.only_day_received)
        histories = entities.histories(code, wanted, timelines, context, known)
        for id_ in wanted:
            history = histories.get(id_, NO_HISTORY)
            differences = entities.publish(code, id_, timelines[id_], context, history)
            # A history, if it has one, changes on the days of the timeline too.
            next_on = history.next_on if id_ in histories else next_day(day, [timelines[id_]])
            self._plan(code, person, id_, next_on)
            if differences.rows:
                self._persons.get(code)  # Its revisions grow.
            self._outputs.add_entity(row, code, person.next_revision, differences, day)

    def _opens_later(self, code: str, person: PersonAggregate, id_: str) -> bool:
        """Return whether an entity will open by the age of the person, but hasn't yet; its day is on the agenda then.

        That is so for most persons, and saves the fold.
        """
        reached = opens_by_age_on(id_, person.state.life)
        is_later = (
            reached is not None
            and reached > self._clock.day
            and self._persons.entities.is_empty(code, id_)
            and not (HISTORIES[id_] and person.may_have_had_other_birth_date)
        )
        if is_later:
            self._plan(code, person, id_, reached if person.state.confirmed is not None else None)
        return is_later

    def _plan(self, code: str, person: PersonAggregate, id_: str, next_on: date | None) -> None:
        """Plan the next day of an entity, and forget an entity of which nothing is known or will be."""
        entities, before = self._persons.entities, person.entities.get(id_)
        entities.plan(code, id_, before, next_on, self._clock.agenda_until)
        is_known = next_on is not None or not entities.is_empty(code, id_)
        if next_on == before and is_known == (id_ in person.entities):
            return
        if is_known:
            person.entities[id_] = next_on
        else:
            del person.entities[id_]
        self._persons.get(code)
