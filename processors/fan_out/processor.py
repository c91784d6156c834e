"""The fan-out step: from `person.change` to `change.<domain>` and what belongs to it.

That is `protection` in the same transaction, `case.dispatched`, `conflict` and `rejected.<system>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from processors.fan_out.entries import changes_of, history_entry
from processors.fan_out.fan_out_outputs import FanOutOutputs
from processors.fan_out.history import PersonNotice
from processors.fan_out.person import PersonAggregate
from processors.fan_out.serialization import read_notices, read_person, write_notices, write_person
from streams.contract import Batch, Poison, Result, State

STORES: Final = {"persons": "state-fan-out-persons", "archive": "state-fan-out-archive"}


class FanOutProcessor:
    """Adds each record to its person's history, folds the history, and publishes the differences to the domains.

    Guarantees: after any number of records, the rows of the domains are the fold of each person's history, in whatever
    order the records of different municipalities, enrolments and accounts arrived. A domain receives only the facts
    that its rule allows, and nothing if none of them changes. A person's revision in a domain grows by one per change
    published. The output does not depend on how the input is divided into batches.
    """

    @property
    def stores(self) -> Mapping[str, str]:
        """The schema in the catalogue of each store."""
        return STORES

    def process(self, batch: Batch, state: State) -> Result:
        """Process records of one partition in the order of their offsets."""
        changes = changes_of(batch.table)
        persons = PersonCache(state, (change.person for change in changes))
        outputs = FanOutOutputs(batch.table)
        poison: list[Poison] = []
        for row, change in enumerate(changes):
            entry = history_entry(change)
            if isinstance(entry, str):
                poison.append(Poison(0, row, entry))
                continue
            person = persons.get(change.person)
            before = person.state
            messages = person.apply(entry, partial(persons.archived_notices, change.person))
            outputs.add(row, change, person, before, messages)
        persons.flush()
        return Result(outputs.outputs(), poison)


class PersonCache:
    """The persons of a batch, each read once and written once."""

    def __init__(self, state: State, keys: Iterable[str]) -> None:
        self._store, self._archive = state["persons"], state["archive"]
        stored = self._store.get_many(dict.fromkeys(keys))
        self._persons = {key: read_person(value) for key, value in stored.items()}
        self._touched: dict[str, None] = {}

    def get(self, key: str) -> PersonAggregate:
        """Return a person that the caller may change; `flush` writes it."""
        self._touched[key] = None
        person = self._persons.get(key)
        if person is None:
            person = self._persons[key] = PersonAggregate()
        return person

    def archived_notices(self, key: str) -> list[PersonNotice]:
        """Return the person's notices in archived segments."""
        keys = [f"{key}/{segment}" for segment in range(self._persons[key].archived_segments)]
        stored = self._archive.get_many(keys) if keys else {}
        return [notice for segment in keys for notice in read_notices(stored[segment]["notices"])]

    def flush(self) -> None:
        """Write the persons that were requested, in the order of the first request."""
        for key in self._touched:
            person = self._persons[key]
            archived = person.archive_oldest()
            if archived:
                segment = {"notices": write_notices(archived)}
                self._archive.put(f"{key}/{person.archived_segments - 1}", segment)
            self._store.put(key, write_person(person))
