"""The demo's figures, read off topics and stores after the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.demo.report import DomainFigures, Latency
from infra.environment import Environment
from infra.store_contents import rows_by_domain
from infra.triage.records import table
from schemas.codec import Codec
from schemas.systems import DOMAINS, SYSTEMS
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

Reading = Callable[..., pa.Table]


@dataclass(frozen=True)
class Figures:
    """What topics and stores say of a run."""

    accepted: Mapping[str, int]
    refused: Mapping[str, int]
    cancellations_refused: frozenset[str]
    duplicates: int
    conflicts: int
    dead_letters: int
    domains: tuple[DomainFigures, ...]
    receipts: pa.Table


def figures(environment: Environment, codec: Codec) -> Figures:
    """All figures of the environment as it is now."""

    def read(schema: str, *topics: str) -> pa.Table:
        return table(environment, codec, schema, topics)

    systems = [it.id for it in SYSTEMS.values() if it.publishes]
    rejected = _latest(read("rejected", *map(rejected_topic, systems)), "id")
    refused = rejected.filter(pc.equal(rejected["kind"], "REJECTED"))
    conflicts = _latest(read("conflict", CONFLICT), "id")
    opened = read("case-opened", CASE_OPENED)
    dead = read("dead-letter", *map(dlq_topic, (*STEPS, *map(sink_step, DOMAINS))))
    return Figures(
        accepted=_counted(opened["reason"]),
        refused=_counted(refused["code"]),
        cancellations_refused=frozenset(_cancellations(refused)),
        duplicates=len(rejected) - len(refused),
        conflicts=len(conflicts.filter(pc.equal(conflicts["status"], "OPEN"))),
        dead_letters=len(dead),
        domains=_domains(read, rows_by_domain(environment.dsn(AUDITOR))),
        receipts=_timed(read("receipt", RECEIPT), opened),
    )


def latency(receipts: pa.Table, phase: str, begun_ms: int, ended_ms: int) -> Latency:
    """From publish to store, of the changes by notices handed over in [begun, ended)."""
    received = pc.cast(receipts["received_at"], pa.int64())
    within = pc.and_(pc.greater_equal(received, begun_ms), pc.less(received, ended_ms))
    took = receipts.filter(within)["took_ms"]
    if not len(took):
        return Latency(phase, 0, 0.0, 0.0)
    median, last = pc.quantile(took, q=[0.5, 0.99]).to_pylist()
    return Latency(phase, len(took), median / 1000, last / 1000)


def _domains(read: Reading, held: Mapping[str, Mapping[str, int]]) -> tuple[DomainFigures, ...]:
    return tuple(
        DomainFigures(
            domain=domain,
            japanese=SYSTEMS[domain].japanese,
            changes=len(read("domain-change", change_topic(domain))),
            rows=held[domain],
            disclosures=len(read("disclosure", disclosure_topic(domain))),
        )
        for domain in DOMAINS
    )


def _timed(receipts: pa.Table, opened: pa.Table) -> pa.Table:
    """Receipts of cases, with `received_at` of the case and `took_ms` until the store had it."""
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
    """The last record of each key, as compaction leaves it."""
    numbered = records.append_column("_row", pa.array(range(len(records)), pa.int64()))
    return records.take(numbered.group_by(key).aggregate([("_row", "max")])["_row_max"])


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    found: list[dict[str, Any]] = pc.value_counts(column).to_pylist()
    return {str(it["values"]): it["counts"] for it in sorted(found, key=lambda it: -it["counts"])}


def _cancellations(refused: pa.Table) -> list[str]:
    """Numbers of cancellations refused for what they cancel, as in the samples' expected.json."""
    about = pc.starts_with(refused["code"], "CANCELS_")
    return [number for number in refused.filter(about)["notice"].to_pylist() if number]
