"""The fetch positions of a consumer, and the offset lookups that must be answered before it fetches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_END

from streams.clients import Partition
from tests.simulation.log import Log, LogEntry, partition_end

Properties = Mapping[str, Any]


class Fetcher:
    """Positions in partitions, and the records from there."""

    def __init__(self, log: Log, properties: Properties) -> None:
        self._log = log
        self._committed = properties.get("isolation.level") == "read_committed"
        self._reports_ends = bool(properties.get("enable.partition.eof", False))
        self._reported_ends: dict[Partition, int] = {}
        self.positions: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        #: Partitions whose position a broker has not returned yet.
        self.unknown: set[Partition] = set()
        self._lookups: dict[Partition, Callable[[], None]] = {}
        #: The log's version at which there was nothing to fetch.
        self._empty_at_version = -1

    def seek(self, partition: Partition, offset: int) -> None:
        """Set the position."""
        self.positions[partition] = max(0, offset)
        self.unknown.discard(partition)
        self._reported_ends.pop(partition, None)
        self._empty_at_version = -1

    def request_offset(self, partition: Partition, offset: int, delay_s: float) -> None:
        """Look up the first or last offset, and seek to it when the broker answers.

        As in librdkafka the answer takes effect whenever it arrives, and undoes a seek made in the meantime.
        """
        self.positions[partition] = 0
        self.unknown.add(partition)

        def answered() -> None:
            if self._lookups.get(partition) is answered:
                del self._lookups[partition]
                self.seek(partition, self._end(partition) if offset == OFFSET_END else 0)

        self._lookups[partition] = answered
        self._log.time.after(delay_s, answered)

    def answer_request_now(self, partition: Partition) -> None:
        """Let the answer to a pending lookup arrive just after the current call: the worst possible moment."""
        if partition in self._lookups:
            self._log.time.after(0.0, self._lookups[partition])

    def remove(self, partition: Partition) -> None:
        """Stop reading a partition."""
        self.unknown.discard(partition)
        self._lookups.pop(partition, None)
        self.positions.pop(partition, None)
        self._reported_ends.pop(partition, None)
        self.paused.discard(partition)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Resume paused partitions."""
        self.paused.difference_update(partitions)
        self._empty_at_version = -1

    @property
    def ready(self) -> bool:
        """Whether `fetch` would return something or skip something."""
        if self._empty_at_version == self._log.version:
            return False
        for partition, position in self.positions.items():
            readable = partition not in self.paused and partition not in self.unknown
            if readable and self._has_more(partition, position):
                return True
        self._empty_at_version = self._log.version
        return False

    def fetch(self, records_max: int) -> list[LogEntry]:
        """Return records, and the ends of partitions if the client reports them."""
        entries: list[LogEntry] = []
        readable = [
            partition
            for partition in self.positions
            if partition not in self.paused and partition not in self.unknown
        ]
        for partition in readable:
            if len(entries) >= records_max:
                break
            records, self.positions[partition] = self._log.read(
                partition, self.positions[partition], records_max - len(entries), committed=self._committed
            )
            entries += records
            position = self.positions[partition]
            at_unreported_end = (
                self._reports_ends
                and self._reported_ends.get(partition) != position
                and position >= self._end(partition)
            )
            if at_unreported_end and len(entries) < records_max:
                self._reported_ends[partition] = position
                entries.append(partition_end(partition, position))
        return entries

    def _end(self, partition: Partition) -> int:
        return self._log.last_stable_offset(partition) if self._committed else self._log.end_offset(partition)

    def _has_more(self, partition: Partition, position: int) -> bool:
        end = self._end(partition)
        return position < end or (self._reports_ends and self._reported_ends.get(partition) != end)
