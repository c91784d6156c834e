"""Tracked cases as rows of `state-tracker-cases`, and queries over all cases as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from processors.japan import DAY_MS, JAPAN_AHEAD_MS
from processors.tracking import CaseOpened, CaseStatus, TrackedCase

SCHEMA = "state-tracker-cases"


def row_of(key: str, case: TrackedCase) -> dict[str, Any]:
    """Return the row of `SCHEMA` for a case; `key` is `municipality/notice`."""
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
        "waiting": sorted(case.waiting),
        "waiting_until": case.waiting_until,
        "complete": case.complete,
    }


def case_of(row: Mapping[str, Any]) -> TrackedCase:
    """Return the case of a row that `row_of` made."""
    is_opened = row["persons_expected"] is not None
    return TrackedCase(
        opened=CaseOpened(row["reason"], row["persons_expected"], _ms(row["received_at"]))
        if is_opened
        else None,
        persons=frozenset(row["persons"]),
        waiting=frozenset(row["waiting"]),
        waiting_until=row["waiting_until"],
        pending=frozenset(row["pending"]),
        early=frozenset(row["early"]),
        changes=row["changes"],
        applied_ms=None if row["applied_at"] is None else _ms(row["applied_at"]),
        complete=row["complete"],
    )


def statuses(cases: pa.Table, now_ms: int, overdue_after_ms: int) -> pa.Array:
    """Return a `CaseStatus` per row of `cases`, equal to what `TrackedCase.status` returns."""
    received = pc.cast(pc.cast(cases["received_at"], pa.timestamp("ms")), pa.int64())
    waiting, expected = pc.list_value_length(cases["waiting"]), cases["persons_expected"]
    lacks_persons = pc.less(pc.add(pc.list_value_length(cases["persons"]), waiting), expected)
    days = pc.cast(pc.cast(cases["waiting_until"], pa.int32()), pa.int64())
    day_ms = pc.if_else(lacks_persons, None, pc.subtract(pc.multiply(days, DAY_MS), JAPAN_AHEAD_MS))
    waits = pc.fill_null(pc.and_(pc.greater(waiting, 0), pc.less(now_ms, day_ms)), False)
    since = pc.max_element_wise(received, day_ms)
    late = pc.fill_null(pc.greater(pc.subtract(now_ms, since), overdue_after_ms), False)
    unfinished = pc.if_else(late, CaseStatus.OVERDUE.value, CaseStatus.OPEN.value)
    unfinished = pc.if_else(waits, CaseStatus.WAITING.value, unfinished)
    return pc.if_else(cases["complete"], CaseStatus.COMPLETE.value, unfinished)


def summary(cases: pa.Table, now_ms: int, overdue_after_ms: int) -> dict[str, Any]:
    """Return counts of cases by status and of changes, and the seconds from submission to the last store.

    `seconds_median` and `seconds_p99` are None if no case is complete. Cases that waited for a day don't count in them.
    """
    value_counts = pc.value_counts(statuses(cases, now_ms, overdue_after_ms)).to_pylist()
    counts = {str(entry["values"]): entry["counts"] for entry in value_counts}
    complete = cases.filter(pc.and_(cases["complete"], pc.is_null(cases["waiting_until"])))
    durations_ms = pc.cast(pc.subtract(complete["applied_at"], complete["received_at"]), pa.int64())
    has_durations = len(durations_ms) > durations_ms.null_count
    median, p99 = pc.quantile(durations_ms, q=[0.5, 0.99]).to_pylist() if has_durations else (None, None)
    return {
        "cases": len(cases),
        **{status.value: counts.get(status.value, 0) for status in CaseStatus},
        "changes": pc.sum(cases["changes"]).as_py() or 0,
        "seconds_median": None if median is None else round(median / 1000, 3),
        "seconds_p99": None if p99 is None else round(p99 / 1000, 3),
    }


def list_cases(
    cases: pa.Table, wanted: Iterable[CaseStatus], limit: int, now_ms: int, overdue_after_ms: int
) -> list[dict[str, Any]]:
    """Return the oldest `limit` cases with one of the wanted statuses, each as `public_view`."""
    status = statuses(cases, now_ms, overdue_after_ms)
    table = cases.append_column("status", status)
    matching = table.filter(pc.is_in(status, pa.array([s.value for s in wanted], pa.string())))
    oldest = matching.sort_by([("received_at", "ascending"), ("notice", "ascending")]).slice(0, limit)
    return [_public_view(row) for row in oldest.to_pylist()]


def public_view(row: Mapping[str, Any], now_ms: int, overdue_after_ms: int) -> dict[str, Any]:
    """Return a case as HTTP answers have it: without persons, not even their codes."""
    return _public_view({**row, "status": case_of(row).status(now_ms, overdue_after_ms).value})


def _public_view(row: Mapping[str, Any]) -> dict[str, Any]:
    expected = row["persons_expected"]
    pending_domains = [change.split("/")[0] for change in row["pending"]]
    return {
        "municipality": row["municipality"],
        "notice": row["notice"],
        "reason": row["reason"],
        "status": row["status"],
        "received_at": row["received_at"] and row["received_at"].isoformat(),
        "applied_at": row["applied_at"] and row["applied_at"].isoformat(),
        "persons": expected,
        "persons_dispatched": expected if row["complete"] else len(row["persons"]),
        "changes": row["changes"],
        "waiting_until": row["waiting_until"].isoformat() if row["waiting"] else None,
        "waiting_for": {domain: pending_domains.count(domain) for domain in sorted(set(pending_domains))},
    }


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
