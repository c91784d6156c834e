"""The outcome of a run in a form that is equal for any two runs of the same input, and checks of one run alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from connectors.postgres.table_definitions import tables_of
from infra.verification.reference import Actual, compare
from processors.fan_out.entries import ADOPTING, DUE
from processors.fan_out.processor import CONTINUE
from schemas.systems import DOMAINS, SYSTEMS, Domain
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
    rejected_topic,
)
from tests.simulation.cities import CODEC, SimCity
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import SimDatabase
from tests.standard_level import STANDARD_DOMAINS

#: Topics whose records don't depend on the order in which submissions arrive.
_ORDER_INDEPENDENT: Final = (NOTICE, PERSON_CHANGE, CASE_OPENED)
_STATES: Final = ("submissions", "households", "notices", "registers", "residents")

Records = Counter[tuple[bytes | None, bytes | None]]


@dataclass
class MeshOutcome:
    """The outcome of one run."""

    #: By topic, how often each record was published.
    records: dict[str, Records] = field(default_factory=dict)
    #: By topic, how often each key was published.
    keys: dict[str, Counter[bytes | None]] = field(default_factory=dict)
    #: By topic, the last value of each key.
    last: dict[str, dict[bytes | None, bytes | None]] = field(default_factory=dict)
    conflicts: dict[bytes | None, bytes | None] = field(default_factory=dict)
    #: By domain, reading, person and key, the row that was last published; not those that were deleted.
    published: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = field(default_factory=dict)
    #: By domain, table and key, the row without its revision.
    rows: dict[str, dict[tuple[str, Any], dict[str, Any]]] = field(default_factory=dict)


def outcome_of(log: Log, databases: Mapping[str, SimDatabase]) -> MeshOutcome:
    """Return the outcome of a run."""
    outcome = MeshOutcome()
    for topic in (*_ORDER_INDEPENDENT, *(topic for topic in log.topics if topic.startswith("rejected."))):
        entries = log.committed(topic) if topic != PERSON_CHANGE else _submitted_changes(log)
        outcome.records[topic] = Counter((entry.key_bytes, entry.value_bytes) for entry in entries)
    outcome.keys[CASE_DISPATCHED] = Counter(entry.key_bytes for entry in _without_waiting(log))
    for store in _STATES:
        outcome.last[store] = _last(log.committed(f"state.household.{store}"))
    outcome.conflicts = {
        key: value for key, value in _last(log.committed(CONFLICT)).items() if _is_open(value)
    }
    outcome.published = {domain.id: _published(log, domain) for domain in DOMAINS.values() if domain.reads}
    outcome.rows = {domain: _rows(domain, database) for domain, database in databases.items()}
    return outcome


def _without_waiting(log: Log) -> list[LogEntry]:
    """Return the dispatched cases without those that waited: whether one waits depends on the order."""
    entries = log.committed(CASE_DISPATCHED)
    waits = CODEC.decode("case-dispatched", [entry.value_bytes for entry in entries]).table.column("waits")
    return [entry for entry, waits in zip(entries, waits.to_pylist(), strict=True) if not waits]


def _published(log: Log, domain: Domain) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    keys = {reads.name: len(reads.entity.key_fields) for reads in domain.readings}
    published: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in _decoded("domain-change", log.committed(change_topic(domain.id))):
        if row["entity"] in keys:
            key = (row["entity"], row["person"], row["municipality"], *row["columns"][: keys[row["entity"]]])
            published.pop(key, None)
            if row["op"] != "DELETE":
                published[key] = (row["status"], row["effective_on"], *row["columns"])
    return published


def _submitted_changes(log: Log) -> list[LogEntry]:
    """Return the changes without those by which fan-out goes on: how many it needs depends on the order."""
    entries = log.committed(PERSON_CHANGE)
    values = [entry.value_bytes for entry in entries]
    kinds = CODEC.decode("person-change", values).table.column("kind").to_pylist()
    return [
        entry for entry, kind in zip(entries, kinds, strict=True) if kind not in (CONTINUE, DUE, ADOPTING)
    ]


def differences(expected: MeshOutcome, actual: MeshOutcome) -> Iterator[str]:
    """Yield how a run's outcome differs from the expected one."""
    for topic, records in expected.records.items():
        yield from _count_differences(topic, records, actual.records.get(topic, Counter()))
    for topic, keys in expected.keys.items():
        yield from _count_differences(f"keys of {topic}", keys, actual.keys.get(topic, Counter()))
    for store, last in expected.last.items():
        yield from _differs(f"the household step's state {store} differs", last, actual.last[store])
    yield from _differs("the open conflicts differ", expected.conflicts, actual.conflicts)
    for domain, published in expected.published.items():
        what = f"{domain}: the rows of readings that were published differ"
        yield from _differs(what, published, actual.published[domain])
    for domain, rows in actual.rows.items():
        yield from _differs(f"{domain}: the store's rows differ", expected.rows[domain], rows)


def _differs(what: str, expected: Mapping[Any, Any], actual: Mapping[Any, Any]) -> Iterator[str]:
    if expected != actual:
        yield f"{what}: {_summary(expected, actual)}"


def without_register_order(outcome: MeshOutcome) -> MeshOutcome:
    """Return the outcome without sequence numbers: of changes only their persons, and no state.

    If the household step dead-letters notices, unrelated notices are accepted before them, and get other numbers.
    """
    changes: Counter[bytes | None] = Counter()
    for (key, _), number in outcome.records[PERSON_CHANGE].items():
        changes[key] += number
    records = {topic: of_topic for topic, of_topic in outcome.records.items() if topic != PERSON_CHANGE}
    return replace(outcome, records=records, keys={**outcome.keys, PERSON_CHANGE: changes}, last={})


def invariant_violations(
    log: Log, domains: tuple[str, ...], failing_step: str | None = None
) -> Iterator[str]:
    """Yield what is wrong in any run: gaps in revisions, changes not converted, disclosed or receipted exactly once.

    `failing_step` is the step that may have dead letters, if one may.
    """
    for topic in log.topics:
        if (
            topic.startswith("dlq.")
            and topic != (failing_step and dlq_topic(failing_step))
            and (dead_letters := log.committed(topic))
        ):
            yield f"{len(dead_letters)} records in {topic}"
    receipts = 0
    for domain in domains:
        changes = log.committed(change_topic(domain))
        yield from _revision_gaps(change_topic(domain), changes, "domain-change", "person")
        published = log.committed(domain_topic(domain))
        yield from _revision_gaps(domain_topic(domain), published, DOMAINS[domain].event, "code")
        if len(published) != len(changes):
            yield f"{domain}: {len(changes)} changes, {len(published)} published"
        disclosed = Counter(entry.key_bytes for entry in log.committed(disclosure_topic(domain)))
        yield from _count_differences(
            disclosure_topic(domain), Counter(entry.key_bytes for entry in published), disclosed
        )
        yield from _receipt_differences(log, domain, published)
        receipts += len(log.committed(domain_receipt_topic(domain)))
    converted = log.committed(RECEIPT)
    if len(converted) != receipts:
        yield f"{receipts} receipts, {len(converted)} converted"
    yield from _case_differences(log, domains, converted)


def _case_differences(log: Log, domains: tuple[str, ...], receipts: list[LogEntry]) -> Iterator[str]:
    """Yield whether a case has other receipts than its dispatched changes in these domains."""
    dispatched = {
        (_case(row["case"]), row["person"], change["domain"], change["revision"])
        for row in CODEC.decode(
            "case-dispatched", [entry.value_bytes for entry in log.committed(CASE_DISPATCHED)]
        ).table.to_pylist()
        for change in row["changes"]
        if change["domain"] in domains
    }
    rows = CODEC.decode("receipt", [entry.value_bytes for entry in receipts]).table.to_pylist()
    receipted = {
        (_case(row["case"]), row["person"], row["domain"], row["revision"]) for row in rows if row["case"]
    }
    if dispatched != receipted:
        yield f"cases: {len(dispatched - receipted)} receipts missing, {len(receipted - dispatched)} of no change"


def _case(case: Mapping[str, str]) -> str:
    return f"{case['municipality']}/{case['notice']}"


def history_differences(rows: Mapping[str, Mapping[tuple[str, Any], dict[str, Any]]]) -> Iterator[str]:
    """Yield whether the latest rows of histories aren't the rows of persons.

    Of somebody who was protected a history has no address, and the day of a measure from that day on only.
    """
    for domain, of_domain in rows.items():
        if not DOMAINS[domain].has_history:
            continue
        known = _known_rows(of_domain)
        persons = {key: row for (table, key), row in of_domain.items() if table == "person"}
        if wrong := sum(not _is_latest(row, known.get(key)) for key, row in persons.items()):
            yield f"{domain}: {wrong} rows of persons aren't the latest of their histories"
        if unknown := len(known.keys() - persons.keys()):
            yield f"{domain}: {unknown} histories of no row"


def _known_rows(of_domain: Mapping[tuple[str, Any], dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return by key what is known now of each row, by a domain's history."""
    latest: dict[Any, tuple[str, str, dict[str, Any]]] = {}
    for (table, key), row in of_domain.items():
        if table == "person_history":
            *row_key, effective_on, known_from = key
            of_day, found = (*row_key, effective_on), (effective_on, known_from, row)
            latest[of_day] = max(latest.get(of_day, found), found, key=lambda each: each[:2])
    in_order = sorted(latest.items(), key=lambda item: item[1][0])
    return {of_day[:-1]: row for of_day, (*_, row) in in_order if row["status"] != "retracted"}


def _is_latest(row: Mapping[str, Any], known: Mapping[str, Any] | None) -> bool:
    if known is None:
        return False
    different = {name for name, value in row.items() if known.get(name) != value}
    if "address" in different and known["address"] is None:
        different.discard("address")
    is_hidden = row["status"] != "closed" and known["address"] is None
    return not different or (is_hidden and different == {"effective_on"})


def model_differences(
    city: SimCity, rows: Mapping[str, Mapping[tuple[str, Any], dict[str, Any]]], log: Log
) -> list[str]:
    """Return how the stores of all domains differ from the reference model, which shares no code with the mesh."""
    readings = {
        f"{domain.schema_name}.{reads.name}": [
            row for (table, _), row in rows[domain.id].items() if table == reads.name
        ]
        for domain in STANDARD_DOMAINS.values()
        for reads in domain.reads
    }
    persons = [
        {"domain": domain, **row}
        for domain, table_rows in rows.items()
        for (table, _), row in table_rows.items()
        if table == "person"
    ]
    messages = [row for (table, _), row in rows["portal"].items() if table == "notice"]
    actual = Actual(
        persons,
        messages,
        readings=readings,
        rejected_events=_rejected_events(log),
        events_without_effect=_events_without_effect(log),
    )
    return [str(difference) for difference in compare(city.model, actual)]


def _rejected_events(log: Log) -> set[tuple[str, str, str]]:
    """Return system, municipality ("" if national) and number of each event that was rejected."""
    return {
        (system.id, row["municipality"] or "", row["notice"])
        for system in SYSTEMS.values()
        if system.owns
        for row in _decoded("rejected", log.committed(rejected_topic(system.id)))
        if row["kind"] == "REJECTED" and row["notice"]
    }


def _events_without_effect(log: Log) -> set[tuple[str, str, str]]:
    last = {row["id"]: row for row in _decoded("conflict", log.committed(CONFLICT))}
    return {
        (row["domain"], row["municipality"] or "", row["number"])
        for row in last.values()
        if (row["kind"], row["status"]) == ("EVENT_WITHOUT_EFFECT", "OPEN")
    }


def _decoded(schema: str, entries: list[LogEntry]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = CODEC.decode(
        schema, [entry.value_bytes for entry in entries]
    ).table.to_pylist()
    return rows


def _count_differences(name: str, expected: Counter[Any], actual: Counter[Any]) -> Iterator[str]:
    if expected != actual:
        lost, more = (expected - actual).total(), (actual - expected).total()
        yield f"{name}: {lost} records missing, {more} too many"


def _summary(expected: Mapping[Any, Any], actual: Mapping[Any, Any]) -> str:
    missing, more = len(expected.keys() - actual.keys()), len(actual.keys() - expected.keys())
    other = sum(expected[key] != actual[key] for key in expected.keys() & actual.keys())
    return f"{missing} missing, {more} too many, {other} differ"


def _last(entries: list[LogEntry]) -> dict[bytes | None, bytes | None]:
    """Return the last value per key, as compaction leaves it."""
    last = {entry.key_bytes: entry.value_bytes for entry in entries}
    return {key: value for key, value in last.items() if value is not None}


@cache
def _is_open(value: bytes) -> bool:
    return bool(CODEC.decode("conflict", [value]).table.column("status")[0].as_py() == "OPEN")


def _rows(domain: str, database: SimDatabase) -> dict[tuple[str, Any], dict[str, Any]]:
    return {
        (table.name, key): {name: value for name, value in row.items() if name not in ("revision", "op")}
        for table in tables_of(DOMAINS[domain])
        for key, row in database.table(table.name).items()
    }


def _revision_gaps(topic: str, entries: list[LogEntry], schema: str, code_column: str) -> Iterator[str]:
    """Yield whether revisions of a person in a domain don't increase by one, in the order of the log."""
    revisions: dict[str, int] = {}
    wrong = 0
    table = CODEC.decode(schema, [entry.value_bytes for entry in entries]).table
    for person, revision in zip(
        table.column(code_column).to_pylist(), table.column("revision").to_pylist(), strict=True
    ):
        wrong += revision != revisions.get(person, 0) + 1
        revisions[person] = revision
    if wrong:
        yield f"{topic}: {wrong} revisions out of order"


def _receipt_differences(log: Log, domain: str, published: list[LogEntry]) -> Iterator[str]:
    """Yield whether receipts are missing or belong to no record. By id: a relay may send one twice."""
    table = CODEC.decode(DOMAINS[domain].event, [entry.value_bytes for entry in published]).table
    second_key = "municipality" if DOMAINS[domain].municipal else "case_code"
    names = ("code", "entity", second_key, "revision")
    expected = {
        ".".join("" if value is None else str(value) for value in row)
        for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)
    }
    values = [entry.value_bytes for entry in log.committed(domain_receipt_topic(domain))]
    actual = set(CODEC.decode("receipt-domain", values).table.column("id").to_pylist())
    if expected != actual:
        yield f"{domain}: {len(expected - actual)} receipts missing, {len(actual - expected)} of no record"
