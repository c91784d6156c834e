"""Checks of the clock: the day of a partition only grows, up to the last one, and nothing is due any more then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Any

from schemas.topics import PERSON_CHANGE, state_topic
from tests.simulation.card_submissions import LAST_DAY
from tests.simulation.cities import CODEC
from tests.simulation.log import Log, LogEntry

_CLOCK, _AGENDA = state_topic("fan-out", "clock"), state_topic("fan-out", "agenda")


def clock_differences(log: Log) -> Iterator[str]:
    """Yield what is wrong with the days of fan-out's partitions, and with what it had to do on them."""
    stored = _decoded([entry for entry in log.committed(_CLOCK) if entry.value_bytes])
    went_back = other_end = unfinished = 0
    for partition in range(log.topics[PERSON_CHANGE]):
        rows = [row for number, row in stored if number == partition]
        days: list[date] = [row["day"] for row in rows]
        went_back += sum(after < before for before, after in pairwise(days))
        other_end += days[-1:] != [LAST_DAY]
        unfinished += any(row["is_catching_up"] for row in rows[-1:])
    if went_back:
        yield f"the day of a partition went back {went_back} times"
    if other_end:
        yield f"{other_end} partitions end on another day than the last"
    if unfinished:
        yield f"{unfinished} partitions wait for a record to go on with the agenda"
    if overdue := sum(day <= str(LAST_DAY) for day in _days_on_agenda(log)):
        yield f"{overdue} entries of the agenda are overdue"


def _days_on_agenda(log: Log) -> list[str]:
    last = {
        (entry.topic_partition, entry.key_bytes or b""): entry.value_bytes for entry in log.committed(_AGENDA)
    }
    return [key.decode().split("/")[0] for (_, key), value in last.items() if value is not None]


def _decoded(entries: list[LogEntry]) -> list[tuple[int, dict[str, Any]]]:
    """Return partition and content of each record; a barrier token has none."""
    rows = CODEC.decode("state-fan-out-clock", [entry.value_bytes for entry in entries]).table.to_pylist()
    return list(zip((entry.topic_partition[1] for entry in entries), rows, strict=True))
