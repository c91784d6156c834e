"""Where a client reads: positions in partitions, what stands there, and what has to be looked up first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_END

from streams.clients import Partition
from tests.simulation.log import Log, LogEntry, end_of

Properties = Mapping[str, Any]


class Fetcher:
    """Positions in partitions, and what stands there."""

    def __init__(self, log: Log, properties: Properties) -> None:
        self._log = log
        self._committed = properties.get("isolation.level") == "read_committed"
        self._ends = bool(properties.get("enable.partition.eof", False))
        self._told: dict[Partition, int] = {}
        self.positions: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        #: Where these go on has to be asked of the broker first.
        self.unknown: set[Partition] = set()
        self._asked: dict[Partition, Callable[[], None]] = {}
        #: The log's version at which there was nothing to be had.
        self._nothing_at = -1

    def seek(self, partition: Partition, offset: int) -> None:
        """Goes on from there."""
        self.positions[partition] = max(0, offset)
        self.unknown.discard(partition)
        self._told.pop(partition, None)
        self._nothing_at = -1

    def look_up(self, partition: Partition, offset: int, seconds: float) -> None:
        """Goes on from the beginning or the end, when the broker has told where that is.

        As in librdkafka the answer counts whenever it comes: a seek meanwhile is undone by it.
        """
        self.positions[partition] = 0
        self.unknown.add(partition)

        def answered() -> None:
            if self._asked.get(partition) is answered:
                del self._asked[partition]
                self.seek(partition, self._end(partition) if offset == OFFSET_END else 0)

        self._asked[partition] = answered
        self._log.time.after(seconds, answered)

    def overtakes(self, partition: Partition) -> None:
        """What is being looked up is found a moment after what has just been asked for: there is no worse one."""
        if partition in self._asked:
            self._log.time.after(0.0, self._asked[partition])

    def forget(self, partition: Partition) -> None:
        """Reads it no more."""
        self.unknown.discard(partition)
        self._asked.pop(partition, None)
        self.positions.pop(partition, None)
        self._told.pop(partition, None)
        self.paused.discard(partition)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Holds these back no more."""
        self.paused.difference_update(partitions)
        self._nothing_at = -1

    @property
    def ready(self) -> bool:
        """Whether there is anything to hand out or to step over."""
        if self._nothing_at == self._log.version:
            return False
        for of, at in self.positions.items():
            if of not in self.paused and of not in self.unknown and self._behind(of, at):
                return True
        self._nothing_at = self._log.version
        return False

    def fetch(self, most: int) -> list[LogEntry]:
        """Records, and the ends of partitions where these are to be told."""
        found: list[LogEntry] = []
        for of in [each for each in self.positions if each not in self.paused and each not in self.unknown]:
            if len(found) >= most:
                break
            got, self.positions[of] = self._log.read(
                of, self.positions[of], most - len(found), committed=self._committed
            )
            found += got
            at = self.positions[of]
            if self._ends and len(found) < most and self._told.get(of) != at and at >= self._end(of):
                self._told[of] = at
                found.append(end_of(of, at))
        return found

    def _end(self, of: Partition) -> int:
        return self._log.stable_end(of) if self._committed else self._log.end(of)

    def _behind(self, of: Partition, at: int) -> bool:
        end = self._end(of)
        return at < end or (self._ends and self._told.get(of) != end)
