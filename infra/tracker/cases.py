"""Tracked cases as rows of `state-tracker-cases`, and the questions asked of all at once, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from processors.tracking import CaseOpened, CaseStatus, TrackedCase

SCHEMA = "state-tracker-cases"


def row_of(key: str, case: TrackedCase) -> dict[str, Any]:
    """The row of `SCHEMA` that keeps this case; `key` is `municipality/notice`."""
    municipality, _, notice = key.partition("/")
    opened = case.opened
    return {
        "municipality": municipality,
        "notice": notice,
        "reason": opened and opened.reason,
        "persons_expected": opened and opened.persons,
        "received_at": opened and _moment(opened.received_ms),
        "persons": sorted(case.persons),
        "pending": sorted(case.pending),
        "early": sorted(case.early),
        "changes": case.changes,
        "applied_at": None if case.applied_ms is None else _moment(case.applied_ms),
        "complete": case.complete,
    }


def case_of(row: Mapping[str, Any]) -> TrackedCase:
    """The case that `row_of` kept."""
    known = row["persons_expected"] is not None
    return TrackedCase(
        opened=CaseOpened(row["reason"], row["persons_expected"], _ms(row["received_at"])) if known else None,
        persons=frozenset(row["persons"]),
        pending=frozenset(row["pending"]),
        early=frozenset(row["early"]),
        changes=row["changes"],
        applied_ms=None if row["applied_at"] is None else _ms(row["applied_at"]),
        complete=row["complete"],
    )


def statuses(cases: pa.Table, now_ms: int, overdue_after_ms: int) -> pa.Array:
    """A `Status` for each row of `cases`, the same as `Case.status` says."""
    received = pc.cast(pc.cast(cases["received_at"], pa.timestamp("ms")), pa.int64())
    late = pc.fill_null(pc.greater(pc.subtract(now_ms, received), overdue_after_ms), False)
    return pc.if_else(
        cases["complete"],
        CaseStatus.COMPLETE.value,
        pc.if_else(late, CaseStatus.OVERDUE.value, CaseStatus.OPEN.value),
    )


def summary(cases: pa.Table, now_ms: int, overdue_after_ms: int) -> dict[str, Any]:
    """Cases by status, parts, and the seconds from hand-over to the last store (median, 99th percentile)."""
    status = statuses(cases, now_ms, overdue_after_ms)
    counts = {str(c["values"]): c["counts"] for c in pc.value_counts(status).to_pylist()}
    done = cases.filter(cases["complete"])
    took = pc.cast(pc.subtract(done["applied_at"], done["received_at"]), pa.int64())
    median, last = (
        pc.quantile(took, q=[0.5, 0.99]).to_pylist() if len(took) > took.null_count else (None, None)
    )
    return {
        "cases": len(cases),
        **{state.value: counts.get(state.value, 0) for state in CaseStatus},
        "changes": pc.sum(cases["changes"]).as_py() or 0,
        "seconds_median": None if median is None else round(median / 1000, 3),
        "seconds_p99": None if last is None else round(last / 1000, 3),
    }


def listing(
    cases: pa.Table, wanted: Iterable[CaseStatus], most: int, now_ms: int, overdue_after_ms: int
) -> list[dict[str, Any]]:
    """The oldest `most` cases of the wanted statuses, each as `shown`."""
    status = statuses(cases, now_ms, overdue_after_ms)
    table = cases.append_column("status", status)
    chosen = table.filter(pc.is_in(status, pa.array([s.value for s in wanted], pa.string())))
    oldest = chosen.sort_by([("received_at", "ascending"), ("notice", "ascending")]).slice(0, most)
    return [_shown(row) for row in oldest.to_pylist()]


def shown(row: Mapping[str, Any], now_ms: int, overdue_after_ms: int) -> dict[str, Any]:
    """One case as HTTP shows it: no person, not even by code."""
    return _shown({**row, "status": case_of(row).status(now_ms, overdue_after_ms).value})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    expected = row["persons_expected"]
    waiting = [part.split("/")[0] for part in row["pending"]]
    return {
        "municipality": row["municipality"],
        "notice": row["notice"],
        "reason": row["reason"],
        "status": row["status"],
        "received_at": row["received_at"] and row["received_at"].isoformat(),
        "applied_at": row["applied_at"] and row["applied_at"].isoformat(),
        "persons": expected,
        "persons_parted": expected if row["complete"] else len(row["persons"]),
        "changes": row["changes"],
        "waiting_for": {domain: waiting.count(domain) for domain in sorted(set(waiting))},
    }


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
