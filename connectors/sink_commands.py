"""Officers' acts on a sink's dead letters, done as they come on the letters of the partitions that are open."""

from __future__ import annotations

import time

import structlog

from connectors.sink import Sink
from schemas.codec import Codec
from streams.clients import Clients, Clock
from streams.command_handler import DeadLetterCommand
from streams.commands import CommandReader, read_records_at

log = structlog.get_logger()

READ_TIMEOUT_S = 15.0


class SinkCommands:
    """Follows the acts on the letters of one step, whose records stand in `topic`."""

    def __init__(
        self, step: str, topic: str, clients: Clients, codec: Codec, clock: Clock = time.monotonic
    ) -> None:
        self._topic, self._clients, self._clock = topic, clients, clock
        self._commands = CommandReader(step, clients, codec)
        self._done: set[tuple[str, int]] = set()
        #: Acts that have nothing left to be done in the partitions that are open, as far as the store was asked.
        self._over: set[str] = set()

    def poll(self, sink: Sink) -> int:
        """Does one act, where one has its letter here; how many records it moved. Errors as in `Sink.act`."""
        self._commands.poll()
        for digest in sink.open_dead_letters if self._commands else ():
            for act in self._commands.for_digest(digest):
                if act.id in self._over:
                    continue
                for partition, offsets in sink.affected_offsets(digest).items():
                    if (act.id, partition) not in self._done:
                        return self._handle_command(sink, act, partition, list(offsets))
                self._over.add(act.id)
        return 0

    def reassigned(self) -> None:
        """Other partitions are open now: their letters were not asked for yet."""
        self._over.clear()

    def close(self) -> None:
        """Lets go of the reader."""
        self._commands.close()

    def _handle_command(self, sink: Sink, act: DeadLetterCommand, partition: int, offsets: list[int]) -> int:
        records = read_records_at(
            self._clients, (self._topic, partition), offsets, self._clock, READ_TIMEOUT_S
        )
        sink.handle_command(act, partition, records)
        self._done.add((act.id, partition))
        log.info(
            "command.committed",
            topic=self._topic,
            partition=partition,
            command=act.type,
            records=len(records),
        )
        return len(records)
