"""The adoption of other declarations: everybody whom they concern is published again, in portions, beside other work.

`mesh apply` numbers the declarations. A worker knows the number of its own. A record with a lower number, which only a
replay reads, has no effect; one with a higher number ends the worker, as it runs declarations of before. So does a
partition that has begun to adopt those of a higher number: a worker of before would undo part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from streams.contract import State
from streams.errors import UnavailableError

#: Persons who are looked at by one record.
PORTION: Final = 200

_KEY: Final = "adoption"
#: Stands for the digest of a declaration by which it isn't known whether everything was published.
_UNKNOWN: Final = ""
_BEGUN: Final = {"complete": False, "after": "", "persons": 0}


#: Before a key of store `sealed`, instead of a person's code; no code has it.
_SEALED: Final = "~"


class Portion(NamedTuple):
    """The persons to look at next, by their codes; after all of them those of the high level, by keys of the store."""

    persons: list[str]
    sealed_keys: list[str]


class OutdatedWorkerError(UnavailableError):
    """The worker runs declarations of before `mesh apply`; one that starts now has the new ones."""


class Adoption:
    """The adoption in one partition; `flush` stores how far it is.

    `number` and `digests` are those of the worker's own declarations. Raise OutdatedWorkerError if the partition has
    begun to adopt newer ones.
    """

    def __init__(self, state: State, number: int, digests: Mapping[str, str]) -> None:
        self._store, self._persons, self._sealed = state["adoption"], state["persons"], state["sealed"]
        self._number, self._digests = number, digests
        self._stored: dict[str, Any] | None = self._store.get_many([_KEY]).get(_KEY)
        self._has_changed = False
        if self._stored is not None:
            self._require(self._stored["number"])

    def begin(self, number: int) -> bool:
        """Begin to adopt declarations. Return whether a record to go on with it is due.

        Raise OutdatedWorkerError if they are newer than this worker's.
        """
        self._require(number)
        if number < self._number or (self._stored is not None and self._stored["number"] >= number):
            return False
        self._put({"number": number, "digests": self._digests_before(number), **_BEGUN})
        return True

    def _digests_before(self, number: int) -> list[dict[str, str]]:
        """Return the digests of the declarations by which everything was published so far, before those of a number.

        If other declarations came in between and weren't adopted, or only by part of the persons, that isn't known:
        then no digest equals one of now, so everything has changed.
        """
        stored = self._stored
        if stored is None:
            return []
        digests: list[dict[str, str]] = stored["digests"]
        if stored["complete"] and stored["number"] == number - 1:
            return digests
        names = dict.fromkeys([*(each["name"] for each in digests), *self._digests])
        return [{"name": name, "digest": _UNKNOWN} for name in names]

    @property
    def names(self) -> Collection[str]:
        """The names of all declarations."""
        return self._digests.keys()

    @property
    def changed(self) -> Collection[str]:
        """The names of the declarations that differ from those that were last adopted completely, or are gone."""
        before = {each["name"]: each["digest"] for each in (self._stored or {"digests": []})["digests"]}
        changed = [name for name, digest in self._digests.items() if before.get(name) != digest]
        return [*changed, *(name for name in before if name not in self._digests)]

    @property
    def is_first(self) -> bool:
        """Whether no declarations were adopted completely before: then nothing was published by other ones."""
        return self._stored is None or not self._stored["digests"]

    def next_portion(self) -> Portion:
        """Return the next persons; none if everybody has been looked at, and then the adoption is complete.

        An adoption of earlier declarations ends as it is: those of now are adopted by everybody.
        """
        stored = self._stored
        if stored is None or stored["complete"] or stored["number"] != self._number:
            return Portion([], [])
        portion = self._next_after(stored["after"]) if self.changed else Portion([], [])
        if portion.persons:
            persons = stored["persons"] + len(portion.persons)
            self._put({**stored, "after": portion.persons[-1], "persons": persons})
        elif portion.sealed_keys:
            self._put({**stored, "after": _SEALED + portion.sealed_keys[-1]})
        else:
            digests = [{"name": name, "digest": digest} for name, digest in self._digests.items()]
            self._put({**stored, "complete": True, "digests": digests})
        return portion

    def _next_after(self, after: str) -> Portion:
        persons = [] if after.startswith(_SEALED) else self._persons.keys_after(after, PORTION)
        keys = [] if persons else self._sealed.keys_after(after.partition(_SEALED)[2], PORTION)
        return Portion(persons, keys)

    def flush(self) -> None:
        """Store how far the adoption is, if that has changed."""
        if self._has_changed and self._stored is not None:
            self._store.put(_KEY, self._stored)

    def _require(self, number: int) -> None:
        """Raise OutdatedWorkerError if declarations of this number are newer than the worker's."""
        if number > self._number:
            raise OutdatedWorkerError(
                "newer declarations were applied: the worker must start again with them"
            )

    def _put(self, value: dict[str, Any]) -> None:
        self._stored, self._has_changed = value, True
