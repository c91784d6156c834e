"""Reading of operator commands on dead letters, and of the records that the dead letters point to.

Each worker of a step reads all of the step's commands, and applies those on dead letters of its own partitions.
Commands are few, since people issue them; a command without its dead letter is remembered until the dead letter
appears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from schemas.codec import Codec
from schemas.topics import command_topic
from streams.clients import Clients, Clock, Message, Partition, Reader
from streams.command_handler import DeadLetterCommand, parse_command
from streams.decoding import offset_of
from streams.errors import UnavailableError
from streams.kafka_errors import read_error

log = structlog.get_logger()

SCHEMA = "dead-letter-command"
_RECORDS_MAX = 1_000
#: Records between two wanted ones are read and dropped; over a wider gap the reader jumps.
_GAP_MAX = 5_000


class CommandReader:
    """All commands on one step's dead letters that have been read so far, in the order in which they were issued."""

    def __init__(self, step: str, clients: Clients, codec: Codec) -> None:
        self._topic, self._clients, self._codec = command_topic(step), clients, codec
        self._reader: Reader | None = None
        #: All commands that this version knows.
        self.commands: list[DeadLetterCommand] = []
        self._by_digest: dict[str, list[DeadLetterCommand]] = {}
        self._records_read = 0

    def poll(self) -> bool:
        """Read new commands without waiting; return whether there were any."""
        if self._reader is None:
            self._reader = self._clients.tailing_reader()
            self._reader.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        records = []
        for message in self._reader.consume(_RECORDS_MAX, 0):
            _raise_if_stopped(message.error())
            if message.error() is None:
                records.append(message)
        self._records_read += len(records)
        for command in self._decoded(records):
            self.commands.append(command)
            for digest in command.digests:
                self._by_digest.setdefault(digest, []).append(command)
        return bool(records)

    def for_digest(self, digest: str) -> Sequence[DeadLetterCommand]:
        """Return the commands on dead letters with this id; of those on several, the part that concerns this one."""
        return [command.on(digest) for command in self._by_digest.get(digest, ())]

    def __len__(self) -> int:
        """Return the number of records read, commands of an unknown type included."""
        return self._records_read

    def close(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _decoded(self, records: Sequence[Message]) -> list[DeadLetterCommand]:
        decoded = self._codec.decode(SCHEMA, [record.value() for record in records])
        parsed = [parse_command(row) for row in decoded.table.to_pylist()]
        commands = [command for command in parsed if command is not None]
        if len(commands) < len(records):
            log.warning("commands.unknown", topic=self._topic, records=len(records) - len(commands))
        return commands


def read_records_at(
    clients: Clients, partition: Partition, offsets: Sequence[int], clock: Clock, timeout_s: float
) -> Mapping[int, Message]:
    """Return the records at these offsets (ascending) by offset, without those that were deleted.

    Raise UnavailableError if the brokers return no record for `timeout_s`.
    """
    records: dict[int, Message] = {}
    wanted = list(offsets)
    if not wanted:
        return records
    reader = clients.reader()
    try:
        while wanted:
            # Jump over each wide gap: hundreds of records may be blocked behind an old dead letter.
            reader.assign([TopicPartition(*partition, wanted[0])])
            _read_to_next_gap(reader, wanted, records, clock, clock() + timeout_s)
    finally:
        reader.close()
    return records


def _read_to_next_gap(
    reader: Reader, wanted: list[int], records: dict[int, Message], clock: Clock, deadline: float
) -> None:
    """Move records at wanted offsets into `records`, up to the next wide gap.

    A new leader may not know for a moment that its last records are committed: so wanted records count as deleted only
    if the partition still ends before them at the deadline.
    """
    end: int | None = None
    while wanted and clock() <= deadline:
        for message in reader.consume(_RECORDS_MAX, 0.1):
            offset, error = offset_of(message), message.error()
            if error is None:
                _drop_before(wanted, offset)
                if wanted and wanted[0] == offset:
                    records[wanted.pop(0)] = message
                if wanted and wanted[0] - offset > _GAP_MAX:
                    return
            elif _is_end(error):
                end = offset
                _drop_before(wanted, offset)
    if wanted and (end is None or wanted[0] < end):
        raise UnavailableError("records of dead letters can't be read")
    wanted.clear()


def _drop_before(wanted: list[int], offset: int) -> None:
    """Drop wanted offsets below the one that was read: their records were deleted."""
    while wanted and wanted[0] < offset:
        wanted.pop(0)


def _is_end(error: KafkaError | None) -> bool:
    _raise_if_stopped(error)
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _raise_if_stopped(error: KafkaError | None) -> None:
    stopped = read_error(error) if error is not None else None
    if stopped:
        raise stopped
