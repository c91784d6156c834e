"""The fan-out step: `person.change` in; `change.<domain>`, `case.dispatched`, `conflict` and `rejected.<system>` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from processors.fan_out.domain_changes import FanOutOutputs
from processors.fan_out.entries import changes_of, history_entry
from processors.fan_out.history import PersonNotice
from processors.fan_out.person import PersonAggregate
from processors.fan_out.serialization import read_notices, read_person, write_notices, write_person
from streams.contract import Batch, Poison, Result, State

STORES: Final = {"persons": "state-fan-out-persons", "archive": "state-fan-out-archive"}


class FanOutProcessor:
    """Adds each record to its person's history, folds it, and tells each domain the difference.

    Promises: what the domains hold after any number of records is the fold of each person's history, in whatever
    order the records of different municipalities, enrolments and accounts came; a domain is told only what its rule
    gives it, and nothing where that doesn't change; revisions go up by one for each record of a person in a domain.
    The records that go out don't depend on how the input was cut into batches.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """Each store's schema in the catalogue."""
        return STORES

    def process(self, batch: Batch, state: State) -> Result:
        """Records of one partition in the order of their offsets."""
        changes = changes_of(batch.table)
        people, outcome, poison = (
            PersonCache(state, (each.person for each in changes)),
            FanOutOutputs(batch.table),
            [],
        )
        for index, change in enumerate(changes):
            entry = history_entry(change)
            if isinstance(entry, str):
                poison.append(Poison(0, index, entry))
                continue
            person = people.get(change.person)
            before = person.view
            messages = person.apply(entry, partial(people.older, change.person))
            outcome.add(index, change, person, before, messages)
        people.flush()
        return Result(outcome.outputs(), poison)


class PersonCache:
    """The persons of a batch, each read once and written once."""

    def __init__(self, state: State, keys: Iterable[str]) -> None:
        self._persons, self._chapters = state["persons"], state["archive"]
        stored = self._persons.get_many(dict.fromkeys(keys))
        self._people = {key: read_person(value) for key, value in stored.items()}
        self._touched: dict[str, None] = {}

    def get(self, key: str) -> PersonAggregate:
        """A person, to be changed and written."""
        self._touched[key] = None
        person = self._people.get(key)
        if person is None:
            person = self._people[key] = PersonAggregate()
        return person

    def older(self, key: str) -> list[PersonNotice]:
        """The notices of a person that are in chapters."""
        keys = [f"{key}/{chapter}" for chapter in range(self._people[key].archived_segments)]
        stored = self._chapters.get_many(keys) if keys else {}
        return [notice for chapter in keys for notice in read_notices(stored[chapter]["notices"])]

    def flush(self) -> None:
        """Writes the persons, in the order in which they came up."""
        for key in self._touched:
            person = self._people[key]
            sealed = person.archive_oldest()
            if sealed:
                chapter = {"notices": write_notices(sealed)}
                self._chapters.put(f"{key}/{person.archived_segments - 1}", chapter)
            self._persons.put(key, write_person(person))
