"""What a run has come to, in a form in which two runs of the same input must be equal; and what holds by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from connectors.postgres.table_definitions import tables_of
from infra.verification.reference import Actual, compare
from schemas.systems import DOMAINS
from schemas.topics import (
    CASE_DISPATCHED,
    CASE_OPENED,
    CONFLICT,
    NOTICE,
    PERSON_CHANGE,
    RECEIPT,
    change_topic,
    disclosure_topic,
    dlq_topic,
    domain_receipt_topic,
    domain_topic,
)
from tests.simulation.cities import CODEC, SimCity
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import Database

#: Whatever the order in which hand-overs meet, these have the same records.
_FIXED: Final = (NOTICE, PERSON_CHANGE, CASE_OPENED)
_STATES: Final = ("submissions", "households", "notices", "registers", "residents")

Records = Counter[tuple[bytes | None, bytes | None]]


@dataclass
class MeshOutcome:
    """Of one run."""

    #: By topic, each record and how often it is there.
    records: dict[str, Records] = field(default_factory=dict)
    #: By topic, how often each key is there.
    keys: dict[str, Counter[bytes | None]] = field(default_factory=dict)
    #: By topic, the last value of each key.
    last: dict[str, dict[bytes | None, bytes | None]] = field(default_factory=dict)
    conflicts: dict[bytes | None, bytes | None] = field(default_factory=dict)
    #: By domain, table and key: the row without its revision.
    rows: dict[str, dict[tuple[str, Any], dict[str, Any]]] = field(default_factory=dict)


def outcome(log: Log, databases: Mapping[str, Database]) -> MeshOutcome:
    """What a run has come to."""
    found = MeshOutcome()
    for topic in (*_FIXED, *(each for each in log.topics if each.startswith("rejected."))):
        found.records[topic] = Counter((each.key_bytes, each.value_bytes) for each in log.committed(topic))
    found.keys[CASE_DISPATCHED] = Counter(each.key_bytes for each in log.committed(CASE_DISPATCHED))
    for store in _STATES:
        found.last[store] = _last(log.committed(f"state.household.{store}"))
    found.conflicts = {key: value for key, value in _last(log.committed(CONFLICT)).items() if _is_open(value)}
    found.rows = {domain: _rows(domain, database) for domain, database in databases.items()}
    return found


def differences(expected: MeshOutcome, actual: MeshOutcome) -> Iterator[str]:
    """How a run differs from what it should have come to."""
    for topic, records in expected.records.items():
        yield from _compared(topic, records, actual.records.get(topic, Counter()))
    for topic, keys in expected.keys.items():
        yield from _compared(f"keys of {topic}", keys, actual.keys.get(topic, Counter()))
    for store, last in expected.last.items():
        if last != actual.last[store]:
            yield f"the household step's {store} are others: {_unlike(last, actual.last[store])}"
    if expected.conflicts != actual.conflicts:
        yield f"other conflicts are open: {_unlike(expected.conflicts, actual.conflicts)}"
    for domain, rows in actual.rows.items():
        if rows != expected.rows[domain]:
            yield f"{domain}: the store has other rows: {_unlike(expected.rows[domain], rows)}"


def unlisted(found: MeshOutcome) -> MeshOutcome:
    """Without what says its place in the household step's list: of changes only whose they are, and no state.

    Where that step sets notices aside, those that have nothing to do with them come before them.
    """
    changes: Counter[bytes | None] = Counter()
    for (key, _), number in found.records[PERSON_CHANGE].items():
        changes[key] += number
    records = {topic: each for topic, each in found.records.items() if topic != PERSON_CHANGE}
    return replace(found, records=records, keys={**found.keys, PERSON_CHANGE: changes}, last={})


def coherent(log: Log, domains: tuple[str, ...], aside: str | None = None) -> Iterator[str]:
    """What holds of any run: revisions without a gap, every change told, disclosed and receipted once.

    `aside` is the step that has dead letters, where one has.
    """
    for topic in log.topics:
        if (
            topic.startswith("dlq.")
            and topic != (aside and dlq_topic(aside))
            and (letters := log.committed(topic))
        ):
            yield f"{len(letters)} records in {topic}"
    receipts = 0
    for domain in domains:
        changes = log.committed(change_topic(domain))
        yield from _in_order(change_topic(domain), changes, "domain-change", "person")
        told = log.committed(domain_topic(domain))
        yield from _in_order(domain_topic(domain), told, DOMAINS[domain].event, "code")
        if len(told) != len(changes):
            yield f"{domain}: {len(changes)} changes, {len(told)} told"
        disclosed = Counter(each.key_bytes for each in log.committed(disclosure_topic(domain)))
        yield from _compared(disclosure_topic(domain), Counter(each.key_bytes for each in told), disclosed)
        yield from _receipted(log, domain, told)
        receipts += len(log.committed(domain_receipt_topic(domain)))
    converted = log.committed(RECEIPT)
    if len(converted) != receipts:
        yield f"{receipts} receipts, {len(converted)} converted"
    yield from _cases(log, domains, converted)


def _cases(log: Log, domains: tuple[str, ...], receipts: list[LogEntry]) -> Iterator[str]:
    """Every case has exactly its receipts, of these domains."""
    parted = {
        (_case(row["case"]), row["person"], part["domain"], part["revision"])
        for row in CODEC.decode(
            "case-dispatched", [each.value_bytes for each in log.committed(CASE_DISPATCHED)]
        ).table.to_pylist()
        for part in row["changes"]
        if part["domain"] in domains
    }
    told = CODEC.decode("receipt", [each.value_bytes for each in receipts]).table.to_pylist()
    receipted = {
        (_case(row["case"]), row["person"], row["domain"], row["revision"]) for row in told if row["case"]
    }
    if parted != receipted:
        yield f"cases: {len(parted - receipted)} receipts missing, {len(receipted - parted)} of no part"


def _case(case: Mapping[str, str]) -> str:
    return f"{case['municipality']}/{case['notice']}"


def against_the_model(
    city: SimCity, rows: Mapping[str, Mapping[tuple[str, Any], dict[str, Any]]]
) -> list[str]:
    """How the stores of all domains differ from the reference model, which shares no code with the mesh."""
    persons = [
        {"domain": domain, **row}
        for domain, found in rows.items()
        for (table, _), row in found.items()
        if table == "person"
    ]
    messages = [row for (table, _), row in rows["portal"].items() if table == "notice"]
    return [str(each) for each in compare(city.model, Actual(persons, messages))]


def _compared(name: str, expected: Counter[Any], actual: Counter[Any]) -> Iterator[str]:
    if expected != actual:
        lost, more = (expected - actual).total(), (actual - expected).total()
        yield f"{name}: {lost} records missing, {more} too many"


def _unlike(expected: Mapping[Any, Any], actual: Mapping[Any, Any]) -> str:
    missing, more = len(expected.keys() - actual.keys()), len(actual.keys() - expected.keys())
    other = sum(expected[key] != actual[key] for key in expected.keys() & actual.keys())
    return f"{missing} missing, {more} too many, {other} differ"


def _last(entries: list[LogEntry]) -> dict[bytes | None, bytes | None]:
    """As compaction leaves it."""
    last = {each.key_bytes: each.value_bytes for each in entries}
    return {key: value for key, value in last.items() if value is not None}


@cache
def _is_open(value: bytes) -> bool:
    return bool(CODEC.decode("conflict", [value]).table.column("status")[0].as_py() == "OPEN")


def _rows(domain: str, database: Database) -> dict[tuple[str, Any], dict[str, Any]]:
    return {
        (table.name, key): {name: value for name, value in row.items() if name not in ("revision", "op")}
        for table in tables_of(DOMAINS[domain])
        for key, row in database.table(table.name).items()
    }


def _in_order(topic: str, entries: list[LogEntry], schema: str, of: str) -> Iterator[str]:
    """Revisions of a person in a domain go up by one, in the order of the log."""
    revisions: dict[str, int] = {}
    wrong = 0
    table = CODEC.decode(schema, [each.value_bytes for each in entries]).table
    for who, revision in zip(table.column(of).to_pylist(), table.column("revision").to_pylist(), strict=True):
        wrong += revision != revisions.get(who, 0) + 1
        revisions[who] = revision
    if wrong:
        yield f"{topic}: {wrong} revisions out of order"


def _receipted(log: Log, domain: str, told: list[LogEntry]) -> Iterator[str]:
    """Receipts by their ids: one may be relayed twice, none is missing, none is of nothing."""
    table = CODEC.decode(DOMAINS[domain].event, [each.value_bytes for each in told]).table
    part = "municipality" if DOMAINS[domain].municipal else "case_code"
    names = ("code", "entity", part, "revision")
    wanted = {
        ".".join("" if value is None else str(value) for value in row)
        for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)
    }
    values = [each.value_bytes for each in log.committed(domain_receipt_topic(domain))]
    given = set(CODEC.decode("receipt-domain", values).table.column("id").to_pylist())
    if wanted != given:
        yield f"{domain}: {len(wanted - given)} receipts missing, {len(given - wanted)} of nothing"
