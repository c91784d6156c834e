"""The municipalities' registers: the step's stores as objects, each key read once and written once per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final, Generic, NamedTuple, TypeVar

from processors.household.local import NEVER_RESIDENT, LocalResident
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
    """An accepted notice in the register: its sequence number, and the persons that it changed."""

    reason: Reason
    effective_on: date
    seq: int
    persons: tuple[str, ...]
    cancelled: bool = False


T = TypeVar("T")


class CachedStore(Generic[T]):
    """A state store with objects as values: each key is read at most once, and written once, by `flush`."""

    def __init__(
        self, store: StateStore, read: Callable[[Mapping[str, Any]], T], write: Callable[[T], dict[str, Any]]
    ) -> None:
        self._store, self._read, self._write = store, read, write
        self._loaded: dict[str, T | None] = {}
        self._changed: dict[str, None] = {}
        self._requested: dict[str, None] = {}

    def request(self, key: str) -> None:
        """Announce that a key is needed soon, so `fetch` reads it together with others."""
        if key not in self._loaded:
            self._requested[key] = None

    def fetch(self) -> None:
        """Read all requested keys in one call."""
        if self._requested:
            stored = self._store.get_many(self._requested)
            for key in self._requested:
                value = stored.get(key)
                self._loaded[key] = None if value is None else self._read(value)
            self._requested.clear()

    def get(self, key: str) -> T | None:
        """Return the current value of a key, or None."""
        if key not in self._loaded:
            self.request(key)
            self.fetch()
        return self._loaded[key]

    def loaded(self) -> list[tuple[str, T]]:
        """Return the keys read so far that have a value, with their values."""
        return [(key, value) for key, value in self._loaded.items() if value is not None]

    def put(self, key: str, value: T | None) -> None:
        """Set the value of a key; None deletes it."""
        self._loaded[key] = value
        self._changed[key] = None

    def flush(self) -> None:
        """Write all changes to the store, in the order in which the keys were first changed."""
        for key in self._changed:
            value = self._loaded[key]
            if value is None:
                self._store.delete(key)
            else:
                self._store.put(key, self._write(value))
        self._changed.clear()


class Registers:
    """The registers of all municipalities of one partition."""

    def __init__(self, state: State) -> None:
        self.notices = CachedStore(state["notices"], _read_entry, _write_entry)
        self.submissions: CachedStore[str] = CachedStore(
            state["submissions"],
            lambda value: str(value["decision"]),
            lambda decision: {"decision": decision},
        )
        self.residents = CachedStore(state["residents"], _read_resident, _write_resident)
        self.households: CachedStore[tuple[str, ...]] = CachedStore(
            state["households"],
            lambda value: tuple(value["residents"]),
            lambda residents: {"residents": list(residents)},
        )
        self.registers: CachedStore[int] = CachedStore(
            state["registers"],
            lambda value: int(value["length"]),
            lambda length: {"length": length},
        )
        self._by_municipality: dict[str, Register] = {}

    def register_of(self, municipality: str) -> Register:
        """Return one municipality's register."""
        register = self._by_municipality.get(municipality)
        if register is None:
            register = self._by_municipality[municipality] = Register(self, municipality)
        return register

    def request_notice(self, municipality: str, digest: str, numbers: Iterable[str | None]) -> None:
        """Announce a notice to decide on; `numbers` are its own and that of the notice it cancels."""
        self.registers.request(municipality)
        self.submissions.request(f"{municipality}/{digest}")
        for number in numbers:
            if number is not None:
                self.notices.request(f"{municipality}/{number}")

    def request_residents(self, municipality: str, persons: Iterable[str]) -> None:
        """Announce that these persons are needed soon."""
        for person in persons:
            self.residents.request(f"{municipality}/{person}")

    def request_households(self, municipality: str, households: Iterable[str]) -> None:
        """Announce that these households are needed soon."""
        for household in households:
            self.households.request(f"{municipality}/{household}")

    def request_households_of_residents(self) -> None:
        """Announce that the present households of all persons read so far are needed soon: a notice may change them."""
        for key, resident in self.residents.loaded():
            if resident.resident and resident.household is not None:
                self.request_households(key.partition("/")[0], (resident.household,))

    def fetch(self) -> None:
        """Read everything requested, in one call per store."""
        for store in (self.notices, self.submissions, self.residents, self.households, self.registers):
            store.fetch()

    def flush(self) -> None:
        """Write all changes."""
        for store in (self.notices, self.submissions, self.residents, self.households, self.registers):
            store.flush()


class Register:
    """One municipality's register."""

    def __init__(self, registers: Registers, municipality: str) -> None:
        self._registers, self._prefix = registers, f"{municipality}/"
        self._municipality = municipality

    def decision_of(self, digest: str) -> str | None:
        """Return the decision on an earlier submission with this digest: ACCEPTED, REJECTED or None."""
        return self._registers.submissions.get(self._prefix + digest)

    def record_decision(self, digest: str, decision: str) -> None:
        """Set the decision on the submission with this digest."""
        self._registers.submissions.put(self._prefix + digest, decision)

    def entry(self, number: str) -> RegisterEntry | None:
        """Return the notice accepted under this number."""
        return self._registers.notices.get(self._prefix + number)

    def enter(self, number: str, entry: RegisterEntry) -> None:
        """Set the entry of an accepted notice."""
        self._registers.notices.put(self._prefix + number, entry)

    def resident(self, person: str) -> LocalResident:
        """Return a person's part of this register; `NEVER_RESIDENT` if there is none."""
        return self._registers.residents.get(self._prefix + person) or NEVER_RESIDENT

    def residents_of(self, household: str) -> tuple[str, ...]:
        """Return the residents of a household, in the order in which they joined it."""
        return self._registers.households.get(self._prefix + household) or ()

    @property
    def length(self) -> int:
        """Number of accepted notices, which is the sequence number of the latest."""
        return self._registers.registers.get(self._municipality) or 0

    def next_seq(self) -> int:
        """Increment the length of the register and return it: the next sequence number, counted from 1."""
        seq = self.length + 1
        self._registers.registers.put(self._municipality, seq)
        return seq

    def update_resident(self, person: str, after: LocalResident) -> None:
        """Set a person's part of the register, and update the residents of the households left and joined."""
        before = self.resident(person)
        self._registers.residents.put(self._prefix + person, after)
        old = before.household if before.resident else None
        new = after.household if after.resident else None
        if old != new:
            self._leave(old, person)
            self._join(new, person)

    def _leave(self, household: str | None, person: str) -> None:
        if household is not None:
            others = tuple(resident for resident in self.residents_of(household) if resident != person)
            self._registers.households.put(self._prefix + household, others or None)

    def _join(self, household: str | None, person: str) -> None:
        if household is not None:
            residents = (*self.residents_of(household), person)
            self._registers.households.put(self._prefix + household, residents)


def _read_entry(value: Mapping[str, Any]) -> RegisterEntry:
    return RegisterEntry(
        Reason(value["reason"]),
        value["effective_on"],
        value["seq"],
        tuple(value["persons"]),
        value["cancelled"],
    )


def _write_entry(entry: RegisterEntry) -> dict[str, Any]:
    return {
        "reason": entry.reason.value,
        "effective_on": entry.effective_on,
        "seq": entry.seq,
        "persons": list(entry.persons),
        "cancelled": entry.cancelled,
    }


def _read_resident(value: Mapping[str, Any]) -> LocalResident:
    return LocalResident(
        tuple(value["days"]),
        tuple(value["seqs"]),
        value["effects"],
        tuple(value["households"]),
        value["resident"],
        value["household"],
    )


def _write_resident(resident: LocalResident) -> dict[str, Any]:
    return {
        "resident": resident.resident,
        "household": resident.household,
        "days": resident.days,
        "seqs": resident.seqs,
        "effects": resident.effects,
        "households": resident.households,
    }
