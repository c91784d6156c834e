"""Household and fan-out a record at a time: the mesh's rules and fold, for a record as a dict and its state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from processors.fan_out.adoption import Adoption
from processors.fan_out.declared import Declared
from processors.fan_out.domain_change import DomainChange
from processors.fan_out.entries import CaseRef, PersonChange
from processors.fan_out.fan_out_outputs import Dispatched, FanOutOutputs
from processors.fan_out.high_level_rules import HighLevelRules
from processors.fan_out.history import Account, Facts, receipt_of
from processors.fan_out.partition_clock import PartitionClock
from processors.fan_out.person_cache import PersonCache
from processors.fan_out.processor import STORES as FAN_OUT_STORES
from processors.fan_out.processor import PersonChangeRules
from processors.household import decide as household
from processors.household.decide import Accepted, PendingNotice, decide
from processors.household.household_outputs import NOTICE_FIELDS
from processors.household.register import STORES as HOUSEHOLD_STORES
from processors.household.register import Registers
from processors.rejections import RejectionCode, Rejections
from schemas.reasons import Reason
from schemas.tables import empty_table
from schemas.topics import (
    CASE_DISPATCHED,
    CASE_OPENED,
    CONFLICT,
    NOTICE,
    PERSON_CHANGE,
    PROTECTION,
    change_topic,
)
from tests.bench.sides.avro import Avro

Row = dict[str, Any]


class OutputRecord(NamedTuple):
    """An output record."""

    topic: str
    schema: str
    row: Mapping[str, Any]
    key: str


class ValueStore(Protocol):
    """Encoded values by key, in whatever storage."""

    def read(self, key: str) -> bytes | None:
        """Return the value, or None."""

    def write(self, key: str, value: bytes | None) -> None:
        """Set the value; None deletes it."""


class EncodedStore:
    """A step's state store (`streams.contract.StateStore`) whose values are encoded one by one."""

    def __init__(self, name: str, schema: str, avro: Avro, values: ValueStore) -> None:
        self._name, self._schema, self._avro, self._values = name, schema, avro, values

    def get_many(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the values of those keys that have one."""
        values = ((key, self._values.read(f"{self._name}/{key}")) for key in keys)
        return {key: _with_numbers(self._avro.read(self._schema, value)) for key, value in values if value}

    def first_keys(self, until: str, limit: int) -> list[str]:
        """Raise NotImplementedError: Quix Streams' state is that of one record key, so it can't list keys."""
        raise NotImplementedError

    def keys_after(self, key: str, limit: int) -> list[str]:
        """Raise NotImplementedError, as `first_keys` does."""
        raise NotImplementedError

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Set a value."""
        self._values.write(f"{self._name}/{key}", self._avro.write(self._schema, value))

    def delete(self, key: str) -> None:
        """Delete a key."""
        self._values.write(f"{self._name}/{key}", None)


def _with_numbers(row: Row) -> Row:
    """Return a row of state with the times of protection measures in milliseconds, as steps have them."""
    for measure in row.get("state", {}).get("protections", ()):
        for name in ("begun_at", "ended_at"):
            if measure[name] is not None:
                measure[name] = _milliseconds(measure[name])
    return row


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


class StepRules:
    """The rules of one step; `rules_s` is the time spent in the rules alone, without decoding and encoding."""

    input: str
    schema: str
    stores: Mapping[str, str]

    def __init__(self, avro: Avro) -> None:
        self._avro, self.rules_s = avro, 0.0

    def state(self, values: ValueStore) -> dict[str, EncodedStore]:
        """Return the step's state stores on these values."""
        return {name: EncodedStore(name, schema, self._avro, values) for name, schema in self.stores.items()}

    def process(self, row: Row, state: dict[str, EncodedStore]) -> list[OutputRecord]:
        """Return the output records of one record."""
        raise NotImplementedError

    def process_encoded(self, value: bytes, state: dict[str, EncodedStore]) -> list[tuple[str, bytes, bytes]]:
        """Return topic, key and value of each output record of an encoded record."""
        outputs = self.process(self._avro.read(self.schema, value), state)
        return [
            (output.topic, output.key.encode(), self._avro.write(output.schema, output.row))
            for output in outputs
        ]


class HouseholdRules(StepRules):
    """The rules of household, for one notice."""

    input, schema, stores = NOTICE, "notice", HOUSEHOLD_STORES

    def process(self, row: Row, state: dict[str, EncodedStore]) -> list[OutputRecord]:
        """Accept the notice as the next register entry and return its person changes, or its rejection."""
        registers, (notice, facts) = Registers(state), _notice(row)
        begun = time.perf_counter()
        decision = decide(notice, registers.register_of(notice.municipality))
        self.rules_s += time.perf_counter() - begun
        registers.flush()
        if isinstance(decision, RejectionCode):
            return _rejected(row, decision)
        changes = _person_changes(row, decision, facts)
        return [
            *(OutputRecord(PERSON_CHANGE, "person-change", change, change["person"]) for change in changes),
            OutputRecord(CASE_OPENED, "case-opened", _case_opened(row, decision), _case_key(_case(row))),
        ]


class FanOutRules(StepRules):
    """The rules of fan-out, for one person change. The day of the partition is kept in memory, and nothing is due."""

    input, schema, stores = PERSON_CHANGE, "person-change", FAN_OUT_STORES

    def __init__(self, avro: Avro) -> None:
        super().__init__(avro)
        self._of_partition: tuple[PartitionClock, Adoption] | None = None
        self._declared = Declared()

    def process(self, row: Row, state: dict[str, EncodedStore]) -> list[OutputRecord]:
        """Add the change to the person's history, fold it, and return the differences."""
        change, outputs = _change(row), FanOutOutputs(empty_table("person-change"))
        if self._of_partition is None:
            self._of_partition = PartitionClock(state), Adoption(state, 0, self._declared.digests)
        persons = PersonCache(state, self._declared, [change.person])
        high = HighLevelRules(outputs, persons, *self._of_partition)
        rules = PersonChangeRules(outputs, persons, *self._of_partition, high)
        begun = time.perf_counter()
        fault = rules.process(0, change)
        self.rules_s += time.perf_counter() - begun
        if fault is not None:
            raise TypeError(fault)
        persons.flush()
        return [
            *(
                OutputRecord(
                    change_topic(domain), "domain-change", _domain_change(row, domain_change), change.person
                )
                for domain, domain_changes in sorted(outputs.changes.items())
                for domain_change in domain_changes
            ),
            *(
                OutputRecord(
                    CASE_DISPATCHED,
                    "case-dispatched",
                    _case_dispatched(row, dispatched),
                    _case_key(row["case"]),
                )
                for dispatched in outputs.dispatched
            ),
            *(OutputRecord(CONFLICT, "conflict", conflict, conflict["id"]) for conflict in outputs.conflicts),
            *(
                OutputRecord(PROTECTION, "protection", record, record["person"])
                for record in outputs.protections
            ),
            *(record for _, code in outputs.rejected for record in _rejected(row, code)),
        ]


def _notice(row: Row) -> tuple[PendingNotice, list[Row]]:
    """Return the notice, and the facts that its `FactsRef`s have the row index of."""
    facts = [person["facts"] for person in row["persons"] or ()] + [row["to"] or {}]
    references = [household.FactsRef(fields.get("household"), index) for index, fields in enumerate(facts)]
    persons = row["persons"] and tuple(
        (person["person"], reference) for person, reference in zip(row["persons"], references, strict=False)
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
        row["to"] and references[-1],
    )
    return notice, facts


def _person_changes(row: Row, decision: Accepted, facts: list[Row]) -> list[Row]:
    common = {name: row[name] for name in NOTICE_FIELDS} | {
        "kind": "CANCELLATION" if row["reason"] == Reason.CANCELLED else "NOTICE",
        "case": _case(row),
        "seq": decision.seq,
    }
    return [
        {
            **common,
            "person": person,
            "facts": None if reference.facts_row is None else facts[reference.facts_row] or None,
        }
        for person, reference in decision.persons
    ]


def _case_opened(row: Row, decision: Accepted) -> Row:
    copied = {name: row[name] for name in ("reason", "effective_on", "received_at")}
    return {**copied, "case": _case(row), "persons": len(decision.persons)}


def _case(row: Row) -> Row:
    return {"municipality": row["municipality"], "notice": row["notice"]}


def _case_key(case: Row) -> str:
    return f"{case['municipality']}/{case['notice']}"


def _change(row: Row) -> PersonChange:
    case, facts, account, settlement = row["case"], row["facts"], row["account"], row["settlement"]
    made = {"case", "facts", "protected", "account", "settlement", "received"}
    return PersonChange(
        **{name: row[name] for name in PersonChange._fields if name not in made},
        received=receipt_of(
            _milliseconds(row["received_at"]),
            *(row["origin"][name] for name in ("topic", "partition", "offset")),
        ),
        case=case and CaseRef(**case),
        facts=facts and Facts(*(facts[name] for name in Facts._fields)),
        protected=facts and facts["protected"],
        account=account and Account(**account),
        settlement=settlement
        and (
            settlement["municipality"],
            settlement["notice"],
            settlement["registered_in"],
            settlement["taken_back"],
        ),
    )


def _domain_change(row: Row, change: DomainChange) -> Row:
    copied = {name: row[name] for name in ("person", "case", "reason", "received_at")}
    columns = {name: value for name, value in change._asdict().items() if name != "row"}
    columns["columns"] = (
        None if change.columns is None else list(change.columns)
    )  # fastavro reads a tuple as a hint.
    facts = change.facts and {**change.facts._asdict(), "protected": None}
    return {**copied, **columns, "facts": facts, "account": change.account and change.account._asdict()}


def _case_dispatched(row: Row, dispatched: Dispatched) -> Row:
    changes = [{"domain": domain, "revision": revision} for domain, revision in dispatched.changes]
    case = {"case": row["case"], "person": row["person"], "changes": changes}
    return {**case, "waits": dispatched.waits, "waiting_until": dispatched.waiting_until}


def _rejected(row: Row, code: RejectionCode) -> list[OutputRecord]:
    rejections = Rejections()
    rejections.add(row, code)
    return [
        OutputRecord(topic, "rejected", rejection, rejection["id"])
        for topic, rows in rejections.rows.items()
        for rejection in rows
    ]


RULES: Final[Mapping[str, type[StepRules]]] = {"household": HouseholdRules, "fan-out": FanOutRules}
