"""The persons of a batch: each read once, and written once if it was changed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from processors.fan_out.declared import Declared
from processors.fan_out.deserialization import read_notices, read_person
from processors.fan_out.history import PersonNotice
from processors.fan_out.person import PersonAggregate, ReadArchive
from processors.fan_out.person_entities import PersonEntities
from processors.fan_out.sealed_persons import SealedPersons
from processors.fan_out.serialization import write_notices, write_person
from streams.contract import State
from streams.high_level import HighSealer


class PersonCache:
    """The persons of a batch and their declared entities, each read once and written once.

    `high` has what is known of them at the high level.
    """

    def __init__(
        self, state: State, declared: Declared, keys: Iterable[str], sealer: HighSealer | None = None
    ) -> None:
        self._store, self._archive = state["persons"], state["archive"]
        self.entities = PersonEntities(state["entities"], state["agenda"], declared)
        self.high = SealedPersons(state["sealed"], self.entities, sealer)
        self._persons: dict[str, PersonAggregate] = {}
        self._touched: dict[str, None] = {}
        self.load(keys)

    def load(self, keys: Iterable[str]) -> None:
        """Read persons and their entities, as far as they aren't read yet."""
        unread = dict.fromkeys(key for key in keys if key not in self._persons)
        stored = self._store.get_many(unread)
        self._persons |= {key: read_person(value) for key, value in stored.items()}
        self.entities.load({key: self._persons[key].entities for key in stored})
        self.high.load(unread)

    def get(self, key: str) -> PersonAggregate:
        """Return a person that the caller may change; `flush` writes it."""
        self._touched[key] = None
        return self.peek(key)

    def peek(self, key: str) -> PersonAggregate:
        """Return a person; `flush` writes it only if `get` returns it too."""
        person = self._persons.get(key)
        if person is None:
            person = self._persons[key] = PersonAggregate()
        return person

    def archive_of(self, key: str) -> ReadArchive:
        """Return the function that reads the person's notices in archived segments."""
        return partial(self.archived_notices, key)

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
        self.entities.flush()
        self.high.flush()
