"""Officers' acts on dead letters: each worker of a step follows them all, and does those on letters of its own.

Acts are few, as people make them; an act whose letter isn't there is remembered until it comes up.
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
_TAKEN_MAX = 1_000
#: Records between two that are wanted are read and dropped; over a wider gap the reader jumps.
_GAP_MAX = 5_000


class CommandReader:
    """All acts on one step's letters, so far as they are read; in the order in which they were filed."""

    def __init__(self, step: str, clients: Clients, codec: Codec) -> None:
        self._topic, self._clients, self._codec = command_topic(step), clients, codec
        self._reader: Reader | None = None
        self._by_digest: dict[str, list[DeadLetterCommand]] = {}
        self._seen = 0

    def poll(self) -> bool:
        """Takes in what is new, without a wait; whether there was anything."""
        if self._reader is None:
            self._reader = self._clients.tailing_reader()
            self._reader.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        records = []
        for message in self._reader.consume(_TAKEN_MAX, 0):
            _stop_at(message.error())
            if message.error() is None:
                records.append(message)
        self._seen += len(records)
        for act in self._decoded(records):
            self._by_digest.setdefault(act.digest, []).append(act)
        return bool(records)

    def for_digest(self, digest: str) -> Sequence[DeadLetterCommand]:
        """Those on letters of this name."""
        return self._by_digest.get(digest, ())

    def __len__(self) -> int:
        return self._seen

    def close(self) -> None:
        """Gives the reader back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _decoded(self, records: Sequence[Message]) -> list[DeadLetterCommand]:
        decoded = self._codec.decode(SCHEMA, [record.value() for record in records])
        found = [parse_command(row) for row in decoded.table.to_pylist()]
        acts = [act for act in found if act is not None]
        if len(acts) < len(records):
            log.warning("commands.unknown", topic=self._topic, records=len(records) - len(acts))
        return acts


def read_records_at(
    clients: Clients, partition: Partition, offsets: Sequence[int], clock: Clock, timeout_s: float
) -> Mapping[int, Message]:
    """The records at these offsets (ascending), without those that aren't there any more.

    UnavailableError where the brokers give none for so long.
    """
    found: dict[int, Message] = {}
    left = list(offsets)
    reader = clients.reader()
    try:
        while left:
            # Each wide gap is a read of its own: what is parked behind an old letter may have hundreds of them.
            reader.assign([TopicPartition(*partition, left[0])])
            _read_on(reader, left, found, clock, clock() + timeout_s)
    finally:
        reader.close()
    return found


def _read_on(
    reader: Reader, left: list[int], found: dict[int, Message], clock: Clock, deadline: float
) -> None:
    """Takes what is wanted out of `left`, up to the next wide gap.

    A leader that is new may not know for a moment that its last records are committed: they are gone where the
    partition still ends before them when the time is over.
    """
    end: int | None = None
    while left and clock() <= deadline:
        for message in reader.consume(_TAKEN_MAX, 0.1):
            at, error = offset_of(message), message.error()
            if error is None:
                _take(message, at, left, found)
                if left and left[0] - at > _GAP_MAX:
                    return
            elif _ended(error):
                end = at
                _drop(left, at)
    if left and (end is None or left[0] < end):
        raise UnavailableError("records that were set aside can't be read")
    left.clear()


def _take(message: Message, at: int, left: list[int], found: dict[int, Message]) -> None:
    _drop(left, at)
    if left and left[0] == at:
        found[left.pop(0)] = message


def _drop(left: list[int], before: int) -> None:
    """Whatever is wanted before what comes isn't there."""
    while left and left[0] < before:
        left.pop(0)


def _ended(error: KafkaError | None) -> bool:
    _stop_at(error)
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _stop_at(error: KafkaError | None) -> None:
    stopped = read_error(error) if error is not None else None
    if stopped:
        raise stopped
