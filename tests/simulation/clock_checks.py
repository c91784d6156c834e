"""Checks of the clock: the day of a partition only grows, up to the last one, and nothing is due any more then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas.topics import PERSON_CHANGE, state_topic
from tests import fan_out_checks
from tests.simulation.card_submissions import LAST_DAY
from tests.simulation.cities import CODEC
from tests.simulation.log import Log, LogEntry

_CLOCK, _AGENDA = state_topic("fan-out", "clock"), state_topic("fan-out", "agenda")


def clock_differences(log: Log) -> Iterator[str]:
    """Yield what is wrong with the days of fan-out's partitions, and with what it had to do on them."""
    # A barrier token has no content.
    entries = [entry for entry in log.committed(_CLOCK) if entry.value_bytes]
    partitions = range(log.topics[PERSON_CHANGE])
    yield from fan_out_checks.clock_differences(
        [
            _decoded([entry for entry in entries if entry.topic_partition[1] == number])
            for number in partitions
        ],
        LAST_DAY,
    )
    yield from fan_out_checks.agenda_differences(_on_agenda(log), LAST_DAY)


def _on_agenda(log: Log) -> list[str]:
    last = {
        (entry.topic_partition, entry.key_bytes or b""): entry.value_bytes for entry in log.committed(_AGENDA)
    }
    return [key.decode() for (_, key), value in last.items() if value is not None]


def _decoded(entries: Sequence[LogEntry]) -> list[dict[str, Any]]:
    values = [entry.value_bytes for entry in entries]
    rows: list[dict[str, Any]] = CODEC.decode("state-fan-out-clock", values).table.to_pylist()
    return rows
