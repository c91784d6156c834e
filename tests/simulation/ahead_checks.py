"""Checks of notices ahead of their day: no row changes before it, and no case waits after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from processors.japan import day_of_ms
from schemas.systems import DOMAINS
from schemas.topics import CASE_DISPATCHED, PROTECTION, change_topic
from tests.simulation.card_submissions import LAST_DAY
from tests.simulation.cities import CODEC
from tests.simulation.log import Log, LogEntry


def early_rows(log: Log) -> Iterator[str]:
    """Yield whether a row was published as it is from a day on of which no record had been received by then.

    Rows of protected persons are left out: a measure begins when it is received, and the row has the notice's day.
    """
    days = [
        (entry.version, day_of_ms(entry.timestamp_ms))
        for topic in log.topics
        if topic.startswith("in.")
        for entry in log.committed(topic)
    ]
    protected = {row["person"] for _, row in _decoded("protection", log.committed(PROTECTION))}
    early = 0
    for domain in DOMAINS.values():
        if domain.is_high:
            continue
        for entry, row in _decoded("domain-change", log.committed(change_topic(domain.id))):
            if row["entity"] in ("PERSON", "ACCOUNT") and row["person"] not in protected:
                published = entry.transaction.ended_version if entry.transaction else 0
                begun = max(day for version, day in days if version <= published)
                early += row["effective_on"] > begun
    if early:
        yield f"{early} rows of persons were published before their day"


def waiting_differences(log: Log) -> Iterator[str]:
    """Yield what is wrong with the cases that waited: one ends waiting once, and none waits for a day that has come."""
    ended, last = Counter[tuple[str, str, str]](), dict[tuple[str, str, str], dict[str, Any]]()
    lost = 0
    for _, row in _decoded("case-dispatched", log.committed(CASE_DISPATCHED)):
        key = (row["case"]["municipality"], row["case"]["notice"], row["person"])
        before = last.get(key, {"changes": []})
        lost += any(change not in row["changes"] for change in before["changes"])
        ended[key] += not row["waits"]
        last[key] = row
    if lost:
        yield f"{lost} records of case.dispatched lack changes of the record before"
    if repeated := sum(number > 1 for number in ended.values()):
        yield f"{repeated} persons were dispatched more than once without waiting"
    if forgotten := sum(row["waits"] and row["waiting_until"] <= LAST_DAY for row in last.values()):
        yield f"{forgotten} persons still wait for a day that has come"


def _decoded(schema: str, entries: list[LogEntry]) -> list[tuple[LogEntry, dict[str, Any]]]:
    entries = [entry for entry in entries if entry.value_bytes is not None]
    rows = CODEC.decode(schema, [entry.value_bytes for entry in entries]).table.to_pylist()
    return list(zip(entries, rows, strict=True))
