"""The figures of the demo, computed from topics and stores after the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.demo.report import DomainFigures, Latency
from infra.environment import Environment
from infra.store_contents import rows_by_domain
from infra.triage.records import read_table
from schemas.codec import Codec
from schemas.systems import DOMAINS, SYSTEMS
from schemas.systems.model import SEALED_RECORD
from schemas.topics import (
    AUDITOR,
    CASE_OPENED,
    CONFLICT,
    RECEIPT,
    STEPS,
    change_topic,
    disclosure_topic,
    dlq_topic,
    rejected_topic,
    sink_step,
)

ReadTopics = Callable[..., pa.Table]
#: System, municipality ("" if national) and number of an event.
EventName = tuple[str, str, str]
#: The systems that own entities.
WITH_ENTITIES = tuple(system.id for system in SYSTEMS.values() if system.owns)


@dataclass(frozen=True)
class Figures:
    """Figures of a run. `receipts` has one row per receipt of a case, with `received_at` and `took_ms`.

    `rejected_events` and `events_without_effect` are of systems with entities: system, municipality, number.
    """

    accepted: Mapping[str, int]
    rejected: Mapping[str, int]
    cancellations_rejected: frozenset[str]
    rejected_events: frozenset[EventName]
    events_without_effect: frozenset[EventName]
    duplicates: int
    conflicts: int
    dead_letters: int
    domains: tuple[DomainFigures, ...]
    receipts: pa.Table


def measure(environment: Environment, codec: Codec) -> Figures:
    """Return all figures of the environment's current topics and stores."""

    def read(schema: str, *topics: str) -> pa.Table:
        return read_table(environment, codec, schema, topics)

    systems = [system.id for system in SYSTEMS.values() if system.publishes]
    rejections = _latest(read("rejected", *map(rejected_topic, systems)), "id")
    rejected = rejections.filter(pc.equal(rejections["kind"], "REJECTED"))
    conflicts = _latest(read("conflict", CONFLICT), "id")
    open_conflicts = conflicts.filter(pc.equal(conflicts["status"], "OPEN"))
    without_effect = open_conflicts.filter(pc.equal(open_conflicts["kind"], "EVENT_WITHOUT_EFFECT"))
    of_entities = pc.is_in(rejected["system"], value_set=pa.array(WITH_ENTITIES, pa.string()))
    opened = read("case-opened", CASE_OPENED)
    dead_letters = read("dead-letter", *map(dlq_topic, (*STEPS, *map(sink_step, DOMAINS))))
    return Figures(
        accepted=_counts_by_value(opened["reason"]),
        rejected=_counts_by_value(rejected["code"]),
        cancellations_rejected=frozenset(_rejected_cancellations(rejected.filter(pc.invert(of_entities)))),
        rejected_events=_event_names(rejected.filter(of_entities), "system", "notice"),
        events_without_effect=_event_names(without_effect, "domain", "number"),
        duplicates=len(rejections) - len(rejected),
        conflicts=len(open_conflicts),
        dead_letters=len(dead_letters),
        domains=_domains(read, rows_by_domain(environment.dsn(AUDITOR))),
        receipts=_with_durations(read("receipt", RECEIPT), opened),
    )


def latency(receipts: pa.Table, phase: str, start_ms: int, end_ms: int) -> Latency:
    """Return the latency from publish to store of changes whose notice was submitted in [start_ms, end_ms)."""
    received = pc.cast(receipts["received_at"], pa.int64())
    within = pc.and_(pc.greater_equal(received, start_ms), pc.less(received, end_ms))
    durations_ms = receipts.filter(within)["took_ms"]
    if not len(durations_ms):
        return Latency(phase, 0, 0.0, 0.0)
    median, p99 = pc.quantile(durations_ms, q=[0.5, 0.99]).to_pylist()
    return Latency(phase, len(durations_ms), median / 1000, p99 / 1000)


def _domains(read: ReadTopics, rows_by_domain: Mapping[str, Mapping[str, int]]) -> tuple[DomainFigures, ...]:
    return tuple(
        DomainFigures(
            domain=domain,
            japanese=SYSTEMS[domain].japanese,
            changes=len(
                read(SEALED_RECORD if DOMAINS[domain].is_high else "domain-change", change_topic(domain))
            ),
            rows=rows_by_domain[domain],
            disclosures=len(
                read(SEALED_RECORD if DOMAINS[domain].is_high else "disclosure", disclosure_topic(domain))
            ),
        )
        for domain in DOMAINS
    )


def _with_durations(receipts: pa.Table, opened: pa.Table) -> pa.Table:
    """Return receipts that have a case, with the case's `received_at` and `took_ms` from then until the store."""
    cases = pa.table({"case": _case_key(opened), "received_at": opened["received_at"]})
    stored = pa.table({"case": _case_key(receipts), "applied_at": receipts["applied_at"]})
    joined = stored.filter(pc.is_valid(stored["case"])).join(cases, "case", join_type="inner")
    applied = pc.divide(pc.cast(joined["applied_at"], pa.int64()), 1000)
    return joined.append_column("took_ms", pc.subtract(applied, pc.cast(joined["received_at"], pa.int64())))


def _case_key(records: pa.Table) -> pa.Array:
    case = records["case"].combine_chunks()
    return pc.binary_join_element_wise(
        pc.struct_field(case, "municipality"), pc.struct_field(case, "notice"), "/"
    )


def _latest(records: pa.Table, key: str) -> pa.Table:
    """Return the last record of each key, as compaction leaves it."""
    numbered = records.append_column("_row", pa.array(range(len(records)), pa.int64()))
    return records.take(numbered.group_by(key).aggregate([("_row", "max")])["_row_max"])


def _event_names(records: pa.Table, system: str, number: str) -> frozenset[EventName]:
    """Return system, municipality ("" if national) and number of each record."""
    names = zip(*(records[column].to_pylist() for column in (system, "municipality", number)), strict=True)
    return frozenset((of, municipality or "", text or "") for of, municipality, text in names)


def _counts_by_value(column: pa.ChunkedArray) -> dict[str, int]:
    counts: list[dict[str, Any]] = pc.value_counts(column).to_pylist()
    counts.sort(key=lambda entry: -entry["counts"])
    return {str(entry["values"]): entry["counts"] for entry in counts}


def _rejected_cancellations(rejected: pa.Table) -> list[str]:
    """Return the numbers of cancellations that were rejected because of the notice that they cancel."""
    is_cancellation = pc.starts_with(rejected["code"], "CANCELS_")
    return [number for number in rejected.filter(is_cancellation)["notice"].to_pylist() if number]
