"""Officers' acts on a sink's dead letters, done as they come on the letters of the partitions that are open."""

from __future__ import annotations

import time

import structlog

from connectors.sink import Sink
from schemas.codec import Codec
from streams.acting import Act
from streams.acts import Acts, read_at
from streams.clients import Clients, Clock

log = structlog.get_logger()

READ_TIMEOUT_S = 15.0


class SinkActs:
    """Follows the acts on the letters of one step, whose records stand in `topic`."""

    def __init__(
        self, step: str, topic: str, clients: Clients, codec: Codec, clock: Clock = time.monotonic
    ) -> None:
        self._topic, self._clients, self._clock = topic, clients, clock
        self._acts = Acts(step, clients, codec)
        self._done: set[tuple[str, int]] = set()
        #: Acts that have nothing left to be done in the partitions that are open, as far as the store was asked.
        self._over: set[str] = set()

    def turn(self, sink: Sink) -> int:
        """Does one act, where one has its letter here; how many records it moved. Errors as in `Sink.act`."""
        self._acts.turn()
        for digest in sink.letters if self._acts else ():
            for act in self._acts.on(digest):
                if act.id in self._over:
                    continue
                for partition, offsets in sink.concerned(digest).items():
                    if (act.id, partition) not in self._done:
                        return self._act(sink, act, partition, list(offsets))
                self._over.add(act.id)
        return 0

    def reassigned(self) -> None:
        """Other partitions are open now: their letters were not asked for yet."""
        self._over.clear()

    def close(self) -> None:
        """Lets go of the reader."""
        self._acts.close()

    def _act(self, sink: Sink, act: Act, partition: int, offsets: list[int]) -> int:
        records = read_at(self._clients, (self._topic, partition), offsets, self._clock, READ_TIMEOUT_S)
        sink.act(act, partition, records)
        self._done.add((act.id, partition))
        log.info("act.committed", topic=self._topic, partition=partition, act=act.deed, records=len(records))
        return len(records)
