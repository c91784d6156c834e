"""Household and fan-out a record at a time: our own rules and fold, given a record as a dict and its state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from processors.fan_out.domain_changes import DomainChange, FanOutOutputs
from processors.fan_out.entries import CaseRef, PersonChange, history_entry
from processors.fan_out.history import Account, Facts
from processors.fan_out.processor import STORES as FAN_OUT_STORES
from processors.fan_out.processor import PersonCache
from processors.household import decide as household
from processors.household.decide import Accepted, PendingNotice, decide
from processors.household.person_changes import TAKEN
from processors.household.register import STORES as HOUSEHOLD_STORES
from processors.household.register import Registers
from processors.rejections import RejectionCode, Rejections
from schemas.reasons import Reason
from schemas.tables import empty_table
from schemas.topics import CASE_DISPATCHED, CASE_OPENED, CONFLICT, NOTICE, PERSON_CHANGE, change_topic
from tests.bench.sides.avro import Avro

Row = dict[str, Any]


class Out(NamedTuple):
    """A record that goes out."""

    topic: str
    schema: str
    row: Mapping[str, Any]
    key: str


class Values(Protocol):
    """Encoded values by key, wherever they are kept."""

    def read(self, key: str) -> bytes | None:
        """The value, or None."""

    def write(self, key: str, value: bytes | None) -> None:
        """Sets it; None forgets it."""


class Store:
    """A step's store (`streams.contract.Store`) whose values are encoded one by one."""

    def __init__(self, name: str, schema: str, avro: Avro, values: Values) -> None:
        self._name, self._schema, self._avro, self._values = name, schema, avro, values

    def get_many(self, keys: Iterable[str]) -> dict[str, Row]:
        """The values of those keys that have one."""
        found = ((key, self._values.read(f"{self._name}/{key}")) for key in keys)
        return {key: self._avro.read(self._schema, value) for key, value in found if value is not None}

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Sets a value."""
        self._values.write(f"{self._name}/{key}", self._avro.write(self._schema, value))

    def delete(self, key: str) -> None:
        """Forgets a key."""
        self._values.write(f"{self._name}/{key}", None)


class Rules:
    """One step; `folded_s` is the time spent in the function that decides, and in nothing around it."""

    input: str
    schema: str
    stores: Mapping[str, str]

    def __init__(self, avro: Avro) -> None:
        self._avro, self.folded_s = avro, 0.0

    def state(self, values: Values) -> dict[str, Store]:
        """The step's stores on these values."""
        return {name: Store(name, schema, self._avro, values) for name, schema in self.stores.items()}

    def outcome(self, row: Row, state: dict[str, Store]) -> list[Out]:
        """What follows from one record."""
        raise NotImplementedError

    def encoded(self, value: bytes, state: dict[str, Store]) -> list[tuple[str, bytes, bytes]]:
        """What follows from one value: topic, key, value of each record."""
        found = self.outcome(self._avro.read(self.schema, value), state)
        return [(each.topic, each.key.encode(), self._avro.write(each.schema, each.row)) for each in found]


class Household(Rules):
    """One notice."""

    input, schema, stores = NOTICE, "notice", HOUSEHOLD_STORES

    def outcome(self, row: Row, state: dict[str, Store]) -> list[Out]:
        """Judged at its place in the list, and parted into changes of persons."""
        registers, (notice, facts) = Registers(state), _notice(row)
        begun = time.perf_counter()
        decided = decide(notice, registers.of(notice.municipality))
        self.folded_s += time.perf_counter() - begun
        registers.flush()
        if isinstance(decided, RejectionCode):
            return _rejected(row, decided)
        changes = _person_changes(row, decided, facts)
        return [
            *(Out(PERSON_CHANGE, "person-change", each, each["person"]) for each in changes),
            Out(CASE_OPENED, "case-opened", _case_opened(row, decided), _case_key(_case(row))),
        ]


class FanOut(Rules):
    """One change of a person."""

    input, schema, stores = PERSON_CHANGE, "person-change", FAN_OUT_STORES

    def outcome(self, row: Row, state: dict[str, Store]) -> list[Out]:
        """Added to the person's history and folded; the differences."""
        change, outcome = _change(row), FanOutOutputs(empty_table("person-change"))
        people, entry = PersonCache(state, [change.person]), history_entry(change)
        if isinstance(entry, str):
            raise TypeError("a change of an unknown kind")
        person = people.get(change.person)
        before, begun = person.view, time.perf_counter()
        messages = person.apply(entry, lambda: people.older(change.person))
        self.folded_s += time.perf_counter() - begun
        outcome.add(0, change, person, before, messages)
        people.flush()
        return [
            *(
                Out(change_topic(domain), "domain-change", _domain_change(row, each), change.person)
                for domain, told in sorted(outcome.changes.items())
                for each in told
            ),
            *(
                Out(CASE_DISPATCHED, "case-dispatched", _case_part(row, parts), _case_key(row["case"]))
                for _, parts in outcome.parts
            ),
            *(Out(CONFLICT, "conflict", each, each["id"]) for each in outcome.conflicts),
            *(_rejected(row, RejectionCode.DUPLICATE) if outcome.refused else ()),
        ]


def _notice(row: Row) -> tuple[PendingNotice, list[Row]]:
    """The notice, and the facts that its places are numbers of."""
    facts = [each["facts"] for each in row["persons"] or ()] + [row["to"] or {}]
    given = [household.FactsRef(each.get("household"), place) for place, each in enumerate(facts)]
    persons = row["persons"] and tuple(
        (each["person"], of_each) for each, of_each in zip(row["persons"], given, strict=False)
    )
    notice = PendingNotice(
        row["municipality"],
        row["notice"],
        Reason(row["reason"]),
        row["effective_on"],
        row["digest"],
        row["resubmitted"],
        row["household"],
        row["cancels"],
        persons,
        row["to"] and given[-1],
    )
    return notice, facts


def _person_changes(row: Row, decided: Accepted, facts: list[Row]) -> list[Row]:
    common = {name: row[name] for name in TAKEN} | {
        "kind": "CANCELLATION" if row["reason"] == Reason.CANCELLED else "NOTICE",
        "case": _case(row),
        "seq": decided.seq,
    }
    return [
        {**common, "person": person, "facts": None if each.place is None else facts[each.place] or None}
        for person, each in decided.persons
    ]


def _case_opened(row: Row, decided: Accepted) -> Row:
    taken = {name: row[name] for name in ("reason", "effective_on", "received_at")}
    return {**taken, "case": _case(row), "persons": len(decided.persons)}


def _case(row: Row) -> Row:
    return {"municipality": row["municipality"], "notice": row["notice"]}


def _case_key(case: Row) -> str:
    return f"{case['municipality']}/{case['notice']}"


def _change(row: Row) -> PersonChange:
    case, facts, account = row["case"], row["facts"], row["account"]
    taken = {
        name: row[name]
        for name in PersonChange._fields
        if name not in ("case", "facts", "protected", "account")
    }
    return PersonChange(
        **taken,
        case=case and CaseRef(**case),
        facts=facts and Facts(*(facts[name] for name in Facts._fields)),
        protected=facts and facts["protected"],
        account=account and Account(**account),
    )


def _domain_change(row: Row, told: DomainChange) -> Row:
    taken = {name: row[name] for name in ("person", "case", "reason", "received_at")}
    made = {name: value for name, value in told._asdict().items() if name != "row"}
    facts = told.facts and {**told.facts._asdict(), "protected": None}
    return {**taken, **made, "facts": facts, "account": told.account and told.account._asdict()}


def _case_part(row: Row, parts: Iterable[tuple[str, int]]) -> Row:
    told = [{"domain": domain, "revision": revision} for domain, revision in parts]
    return {"case": row["case"], "person": row["person"], "changes": told}


def _rejected(row: Row, refusal: RejectionCode) -> list[Out]:
    rejected = Rejections()
    rejected.add(row, refusal)
    return [
        Out(topic, "rejected", each, each["id"]) for topic, rows in rejected.rows.items() for each in rows
    ]


RULES: Final[Mapping[str, type[Rules]]] = {"household": Household, "fan-out": FanOut}
