"""Operator commands on a sink's dead letters: each is handled once it arrives, in the partitions that are open."""

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
    """The commands on the dead letters of one step, whose input is `topic`."""

    def __init__(
        self, step: str, topic: str, clients: Clients, codec: Codec, clock: Clock = time.monotonic
    ) -> None:
        self._topic, self._clients, self._clock = topic, clients, clock
        self._commands = CommandReader(step, clients, codec)
        self._handled: set[tuple[str, int]] = set()
        #: Ids of commands that have nothing left to do in the open partitions, as far as the store was queried.
        self._finished: set[str] = set()

    def poll(self, sink: Sink) -> int:
        """Handle at most one command in one partition, and return the number of records it moved.

        Errors as in `Sink.handle_command`.
        """
        self._commands.poll()
        for digest in sink.open_dead_letters if self._commands else ():
            for command in self._commands.for_digest(digest):
                if command.id in self._finished:
                    continue
                for partition, offsets in sink.affected_offsets(digest).items():
                    if (command.id, partition) not in self._handled:
                        return self._handle_command(sink, command, partition, list(offsets))
                self._finished.add(command.id)
        return 0

    def on_assignment(self) -> None:
        """Note that other partitions are open now: the store was not queried for their dead letters yet."""
        self._finished.clear()

    def close(self) -> None:
        """Close the reader of commands."""
        self._commands.close()

    def _handle_command(
        self, sink: Sink, command: DeadLetterCommand, partition: int, offsets: list[int]
    ) -> int:
        records = read_records_at(
            self._clients, (self._topic, partition), offsets, self._clock, READ_TIMEOUT_S
        )
        sink.handle_command(command, partition, records)
        self._handled.add((command.id, partition))
        log.info(
            "command.committed",
            topic=self._topic,
            partition=partition,
            command=command.type,
            records=len(records),
        )
        return len(records)
