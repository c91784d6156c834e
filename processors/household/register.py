"""What the municipalities' lists say so far: a view on the step's stores that is read once and written once a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final, Generic, NamedTuple, TypeVar

from processors.household.local import NOBODY, LocalResident
from schemas.reasons import Reason
from streams.contract import State, StateStore

#: Stores of the step, and their schemas in the catalogue.
STORES: Final = {
    "notices": "state-household-notices",
    "submissions": "state-household-submissions",
    "residents": "state-household-residents",
    "households": "state-household-households",
    "registers": "state-household-registers",
}

ACCEPTED: Final = "ACCEPTED"
REJECTED: Final = "REJECTED"


class RegisterEntry(NamedTuple):
    """An accepted notice: its place in the list, and the persons it concerned then."""

    reason: Reason
    effective_on: date
    seq: int
    persons: tuple[str, ...]
    cancelled: bool = False


T = TypeVar("T")


class CachedStore(Generic[T]):
    """One store behind its values as objects: each key is read at most once, and written once, by `flush`."""

    def __init__(
        self, store: StateStore, read: Callable[[Mapping[str, Any]], T], write: Callable[[T], dict[str, Any]]
    ) -> None:
        self._store, self._read, self._write = store, read, write
        self._known: dict[str, T | None] = {}
        self._changed: dict[str, None] = {}
        self._wanted: dict[str, None] = {}

    def want(self, key: str) -> None:
        """The key is asked for soon: `fetch` reads it together with others."""
        if key not in self._known:
            self._wanted[key] = None

    def fetch(self) -> None:
        """Reads all that is wanted and isn't known yet, in one go."""
        if self._wanted:
            found = self._store.get_many(self._wanted)
            for key in self._wanted:
                value = found.get(key)
                self._known[key] = None if value is None else self._read(value)
            self._wanted.clear()

    def get(self, key: str) -> T | None:
        """The value as it stands now, or None."""
        if key not in self._known:
            self.want(key)
            self.fetch()
        return self._known[key]

    def known(self) -> list[tuple[str, T]]:
        """All that was read and is there."""
        return [(key, value) for key, value in self._known.items() if value is not None]

    def put(self, key: str, value: T | None) -> None:
        """Sets the value; None forgets the key."""
        self._known[key] = value
        self._changed[key] = None

    def flush(self) -> None:
        """Hands all changes to the store, in the order in which the keys were first changed."""
        for key in self._changed:
            value = self._known[key]
            if value is None:
                self._store.delete(key)
            else:
                self._store.put(key, self._write(value))
        self._changed.clear()


class Registers:
    """The lists of all municipalities of one partition."""

    def __init__(self, state: State) -> None:
        self.notices = CachedStore(state["notices"], _read_listed, _write_listed)
        self.submissions: CachedStore[str] = CachedStore(
            state["submissions"], _verdict, lambda verdict: {"decision": verdict}
        )
        self.residents = CachedStore(state["residents"], _read_local, _write_local)
        self.households = CachedStore(
            state["households"], _members, lambda members: {"residents": list(members)}
        )
        self.registers: CachedStore[int] = CachedStore(
            state["registers"], _length, lambda length: {"listed": length}
        )
        self._of: dict[str, Register] = {}

    def of(self, municipality: str) -> Register:
        """One municipality's list."""
        found = self._of.get(municipality)
        if found is None:
            found = self._of[municipality] = Register(self, municipality)
        return found

    def want(self, municipality: str, digest: str, numbers: Iterable[str | None]) -> None:
        """A hand-over is judged soon; `numbers` are its own and that of the notice it cancels."""
        self.registers.want(municipality)
        self.submissions.want(f"{municipality}/{digest}")
        for number in numbers:
            if number is not None:
                self.notices.want(f"{municipality}/{number}")

    def want_residents(self, municipality: str, persons: Iterable[str]) -> None:
        """These persons are asked for soon."""
        for person in persons:
            self.residents.want(f"{municipality}/{person}")

    def want_households(self, municipality: str, households: Iterable[str]) -> None:
        """These households are asked for soon."""
        for household in households:
            self.households.want(f"{municipality}/{household}")

    def want_households_of_residents(self) -> None:
        """The households in which the persons known here live may be left soon."""
        for key, local in self.residents.known():
            if local.resident and local.household is not None:
                self.want_households(key.partition("/")[0], (local.household,))

    def fetch(self) -> None:
        """Reads what is wanted, in one go for each store."""
        for shelf in (self.notices, self.submissions, self.residents, self.households, self.registers):
            shelf.fetch()

    def flush(self) -> None:
        """Writes what changed."""
        for shelf in (self.notices, self.submissions, self.residents, self.households, self.registers):
            shelf.flush()


class Register:
    """One municipality's list."""

    def __init__(self, registers: Registers, municipality: str) -> None:
        self._registers, self._prefix = registers, f"{municipality}/"
        self._municipality = municipality

    def verdict_of(self, digest: str) -> str | None:
        """What became of a hand-over with this digest before: ACCEPTED, REFUSED or None."""
        return self._registers.submissions.get(self._prefix + digest)

    def remember(self, digest: str, verdict: str) -> None:
        """Keeps what became of a hand-over."""
        self._registers.submissions.put(self._prefix + digest, verdict)

    def listed(self, number: str) -> RegisterEntry | None:
        """The notice accepted under a number."""
        return self._registers.notices.get(self._prefix + number)

    def enter(self, number: str, listed: RegisterEntry) -> None:
        """Sets what is kept of an accepted notice."""
        self._registers.notices.put(self._prefix + number, listed)

    def local(self, person: str) -> LocalResident:
        """A person as this municipality has them; `NOBODY` where it never had them."""
        return self._registers.residents.get(self._prefix + person) or NOBODY

    def members(self, household: str) -> tuple[str, ...]:
        """Residents of a household, in the order in which they came into it."""
        return self._registers.households.get(self._prefix + household) or ()

    @property
    def length(self) -> int:
        """How many notices were accepted: the place of the latest."""
        return self._registers.registers.get(self._municipality) or 0

    def next_seq(self) -> int:
        """Counts the list up, from 1."""
        place = self.length + 1
        self._registers.registers.put(self._municipality, place)
        return place

    def move(self, person: str, after: LocalResident) -> None:
        """Sets how a person stands, and keeps the households' residents in step."""
        before = self.local(person)
        self._registers.residents.put(self._prefix + person, after)
        old = before.household if before.resident else None
        new = after.household if after.resident else None
        if old != new:
            self._leave(old, person)
            self._join(new, person)

    def _leave(self, household: str | None, person: str) -> None:
        if household is not None:
            left = tuple(member for member in self.members(household) if member != person)
            self._registers.households.put(self._prefix + household, left or None)

    def _join(self, household: str | None, person: str) -> None:
        if household is not None:
            joined = (*self.members(household), person)
            self._registers.households.put(self._prefix + household, joined)


def _read_listed(value: Mapping[str, Any]) -> RegisterEntry:
    return RegisterEntry(
        Reason(value["reason"]),
        value["effective_on"],
        value["seq"],
        tuple(value["persons"]),
        value["cancelled"],
    )


def _write_listed(listed: RegisterEntry) -> dict[str, Any]:
    return {
        "reason": listed.reason.value,
        "effective_on": listed.effective_on,
        "seq": listed.seq,
        "persons": list(listed.persons),
        "cancelled": listed.cancelled,
    }


def _read_local(value: Mapping[str, Any]) -> LocalResident:
    return LocalResident(
        tuple(value["days"]),
        tuple(value["seqs"]),
        value["steps"],
        tuple(value["households"]),
        value["resident"],
        value["household"],
    )


def _write_local(local: LocalResident) -> dict[str, Any]:
    return {
        "resident": local.resident,
        "household": local.household,
        "days": local.days,
        "seqs": local.seqs,
        "steps": local.steps,
        "households": local.households,
    }


def _verdict(value: Mapping[str, Any]) -> str:
    return str(value["decision"])


def _members(value: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(value["residents"])


def _length(value: Mapping[str, Any]) -> int:
    return int(value["listed"])
