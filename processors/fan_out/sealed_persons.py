"""What is known of persons at the high level: one box for each person of whom there is something.

A person's key is a keyed digest, and the box has everything: the person, the entities of that level with what was sent
of them, their next days, and the revisions in domains of that level. Nothing of it is in another store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import orjson

from processors.columns import arrow_schema
from processors.entities.rows import ENTITIES, HIGH_COVERED_BY, HIGH_ENTITIES
from processors.fan_out.person_entities import PersonEntities
from schemas.topics import state_topic
from streams.contract import StateStore
from streams.high_level import HighSealer, required
from streams.sealed_rows import row_of_json

_CONTEXT: Final = state_topic("fan-out", "sealed")
_HISTORY_SCHEMA: Final = "state-fan-out-entities"


@dataclass(slots=True)
class SealedPerson:
    """A person at the high level.

    `entities` are those of which something is known or will be, each with the next day on which something changes by
    itself; `revisions` are the latest in domains of that level.
    """

    entities: dict[str, date | None] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)

    def next_revision(self, domain: str) -> int:
        """Increment and return the person's revision in `domain`."""
        self.revisions[domain] = self.revisions.get(domain, 0) + 1
        return self.revisions[domain]

    def readable(self) -> Sequence[str]:
        """Return the entities of which domains of the high level can have rows."""
        covered = (id_ for id_, by in HIGH_COVERED_BY.items() if not by.isdisjoint(self.entities))
        declared = (id_ for id_ in self.entities if id_ in ENTITIES)
        return list(dict.fromkeys((*declared, *covered)))


class SealedPersons:
    """The persons of a batch at the high level; `flush` writes those that `get` returned.

    Without a `sealer` nobody is known: then nothing of that level can be received either.
    """

    def __init__(self, store: StateStore, entities: PersonEntities, sealer: HighSealer | None) -> None:
        self._store, self._entities, self._sealer = store, entities, sealer
        self._persons: dict[str, SealedPerson] = {}
        self._touched: dict[str, None] = {}

    def load(self, persons: Iterable[str]) -> None:
        """Look for persons, who must not be loaded yet."""
        if HIGH_ENTITIES and self._sealer is not None:
            self._read([self._sealer.digest(person, _CONTEXT) for person in persons])

    def load_keys(self, keys: Sequence[str]) -> list[str]:
        """Load those of the persons with these keys of the store that aren't loaded yet; return all of them."""
        return self._read(keys)

    def _read(self, keys: Sequence[str]) -> list[str]:
        persons = []
        for stored in self._store.get_many(keys).values():
            content = orjson.loads(required(self._sealer).open(stored["sealed"], _CONTEXT))
            persons.append(content["person"])
            if content["person"] not in self._persons:
                self._add(content)
        return persons

    def _add(self, content: Mapping[str, Any]) -> None:
        person = content["person"]
        days = {id_: day and date.fromisoformat(day) for id_, day in content["entities"].items()}
        self._persons[person] = SealedPerson(days, dict(content["revisions"]))
        for id_, history in content["histories"].items():
            fields = arrow_schema(_HISTORY_SCHEMA)
            self._entities.load_high(person, id_, row_of_json(history, fields, complete=True))

    def peek(self, person: str) -> SealedPerson | None:
        """Return what is known of a person; None if nothing is."""
        return self._persons.get(person)

    def is_due(self, person: str, day: date) -> bool:
        """Return whether anything changes by itself of a person until this day."""
        return any(
            next_on is not None and next_on <= day for next_on in self._persons[person].entities.values()
        )

    def get(self, person: str) -> SealedPerson:
        """Return a person whom the caller may change."""
        self._touched[person] = None
        return self._persons.setdefault(person, SealedPerson())

    def flush(self) -> None:
        """Write the persons that were changed, in the order of the first change."""
        for code in self._touched:
            sealer, person = required(self._sealer), self._persons[code]
            content = {
                "person": code,
                "entities": person.entities,
                "revisions": person.revisions,
                "histories": {id_: self._entities.high(code, id_) for id_ in person.entities},
            }
            box = sealer.seal(orjson.dumps(content), _CONTEXT)
            self._store.put(sealer.digest(code, _CONTEXT), {"sealed": box})
