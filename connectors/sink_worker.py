"""One worker of a sink: its share of a domain topic's partitions, read committed, brought into the store.

Several workers of one domain share the partitions by Kafka's group; where each goes on reading is the store's to say,
never the group's. The offsets that the group is told are for those who look at lag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, Literal, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import BaseModel, Field

from connectors.errors import SinkFencedError, TransactionTimeoutError
from connectors.sink import Record, Sink, batch_of
from connectors.sink_commands import SinkCommands
from schemas.codec import Codec
from streams.batch_size import AdaptiveBatchSize
from streams.clients import FETCH_BACKOFF_MS, RECONNECT_BACKOFF_MAX_MS, Message
from streams.errors import DeniedError
from streams.kafka_errors import read_error
from streams.librdkafka.health import HealthCheckedConsumer
from streams.librdkafka.producer import ReportedErrors

log = structlog.get_logger()

#: Batches that may be fenced one after the other, before the worker gives up.
_FENCED_MAX: Final = 10


class SinkSettings(BaseModel, frozen=True, extra="forbid"):
    """How a sink reads."""

    batch_records_max: int = Field(default=5_000, gt=0, le=50_000)
    poll_timeout_s: float = Field(default=0.1, gt=0, le=5)
    #: Read ahead and kept for the next batches: several of them, as a store may stand still while the broker doesn't.
    queued_max_messages_kbytes: int = Field(default=8_192, ge=1_024, le=1_048_576)
    session_timeout_ms: int = Field(default=10_000, ge=6_000, le=60_000)
    #: Longer than all attempts of a sink at one batch.
    max_poll_interval_ms: int = Field(default=300_000, ge=60_000, le=3_600_000)


class SinkConsumer(Protocol):
    """What the worker uses of a Kafka consumer."""

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        """Joins the group; the callbacks run within `consume`."""

    def consume(self, num_messages: int, timeout: float) -> Sequence[Message]:
        """Records, ends of partitions and errors, until there are so many or the time is over."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Reads these from their offsets."""

    def unassign(self) -> None:
        """Reads nothing."""

    def seek(self, partition: TopicPartition) -> None:
        """Goes on from that offset."""

    def commit(self, *, offsets: list[TopicPartition], asynchronous: Literal[True]) -> None:
        """Tells the group."""

    def close(self) -> None:
        """Leaves the group."""


class AfterBatch(Protocol):
    """What a worker does at the end of each turn."""

    def __call__(self, applied: int) -> int:
        """Given the number of records that were new, gives how much it did itself."""

    def close(self) -> None:
        """Lets go of connections."""


@dataclass(frozen=True)
class SinkInput:
    """What a worker reads: a topic, the schema of its records, the codec for it, and officers' acts on its letters."""

    topic: str
    schema: str
    codec: Codec
    commands: SinkCommands | None = None


class SinkWorker:
    """Called by one thread: `start`, then `turn` as long as wanted, then `close`; or `run` for all of it.

    `after` is what is to be done at the end of each turn: the relay of an outbox.
    """

    def __init__(
        self,
        source: SinkInput,
        sink: Sink,
        consumer: SinkConsumer,
        settings: SinkSettings | None = None,
        after: AfterBatch | None = None,
    ) -> None:
        self._topic, self._schema, self._codec = source.topic, source.schema, source.codec
        self._sink = sink
        self._consumer, self._after, self._commands = consumer, after, source.commands
        self._settings = settings or SinkSettings()
        self._positions: dict[int, int] = {}
        self._fenced = 0
        self._size = AdaptiveBatchSize()

    @property
    def partitions(self) -> list[int]:
        """The partitions that are ours now."""
        return sorted(self._positions)

    def run(self, stop: Event) -> None:
        """Turns until told to stop. ConnectorError, StreamError: this worker can't go on; nothing is half done."""
        try:
            self.start()
            while not stop.is_set():
                self.run_once()
        finally:
            self.close()

    def start(self) -> None:
        """Joins the group."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def run_once(self) -> int:
        """One batch, whole or not at all; how many records it had, those of the outbox included."""
        # 1. What is new, decoded. Partitions may come and go in here, never later in the turn.
        records, ends = self._read()
        # 2. Into the store, with the offsets after it; only then is the position what the store says.
        done = self._apply(records, ends) if ends else 0
        # 3. What officers want done about dead letters.
        done += self._handle_command()
        # 4. What the store has to tell the mesh.
        return done + (self._after(done) if self._after else 0)

    def close(self) -> None:
        """Leaves the group; what was not committed is read again by whoever comes next."""
        self._sink.close()
        if self._after:
            self._after.close()
        if self._commands:
            self._commands.close()
        self._consumer.close()

    def _read(self) -> tuple[list[Record], dict[int, int]]:
        """Records that are ours, and by partition the offset after them (or at its end, where that is new)."""
        found: list[Record] = []
        ends: dict[int, int] = {}
        # What took too long at once may be committed in parts.
        most = self._size.scale(self._settings.batch_records_max)
        messages = self._consumer.consume(most, self._settings.poll_timeout_s)
        for message in messages:
            partition, offset = _place(message)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                _raise_where_it_stops(error)
            elif offset >= ends.get(partition, self._positions.get(partition, offset + 1)):
                if error is None:
                    found.append(message)
                    ends[partition] = offset + 1
                elif offset > ends.get(partition, self._positions[partition]):
                    ends[partition] = offset
        return found, ends

    def _apply(self, records: list[Record], ends: Mapping[int, int]) -> int:
        try:
            self._sink.put(batch_of(self._codec, self._schema, records, ends))
            stored = self._sink.flush()
        except SinkFencedError:
            self._reopen()
            return 0
        except TransactionTimeoutError:
            self._divide(len(records))
            return 0
        self._fenced = 0
        self._size.succeeded()
        self._positions = dict(stored)
        self._report_offsets(ends)
        log.info("batch.committed", topic=self._topic, records=len(records), offsets_next=dict(ends))
        return len(records)

    def _handle_command(self) -> int:
        if self._commands is None or not self._positions:
            return 0
        try:
            return self._commands.poll(self._sink)
        except SinkFencedError:
            self._reopen()
            return 0

    def _reopen(self) -> None:
        """Another sink was ahead: from where the store is now."""
        self._fenced += 1
        if self._fenced > _FENCED_MAX:
            raise SinkFencedError(f"fenced {self._fenced} times, one after the other")
        self._go_back()

    def _divide(self, records: int) -> None:
        """The same records come again, in smaller batches. OverdueError where they can't be smaller."""
        if self._size.scale(self._settings.batch_records_max) == 1:
            raise TransactionTimeoutError("a batch of one record is overdue")
        self._size.failed()
        log.warning("batch.timed-out", topic=self._topic, records=records)
        self._go_back()

    def _go_back(self) -> None:
        self._positions = dict(self._sink.open(self._positions))
        for partition, offset in self._positions.items():
            self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def _report_offsets(self, ends: Mapping[int, int]) -> None:
        # Whether the group hears of it changes nothing but a figure of somebody who looks.
        with suppress(KafkaException):
            offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in ends.items()]
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _assigned(self, _: object, partitions: list[TopicPartition]) -> None:
        self._positions = dict(self._sink.open([each.partition for each in partitions]))
        if self._commands:
            self._commands.reassigned()
        log.info("partitions.assigned", topic=self._topic, partitions=self.partitions)
        self._consumer.assign(
            [TopicPartition(self._topic, partition, offset) for partition, offset in self._positions.items()]
        )

    def _revoked(self, _: object, partitions: list[TopicPartition]) -> None:
        # Nothing is under way: a turn ends with its commit.
        log.info("partitions.revoked", topic=self._topic, partitions=self.partitions)
        self._positions = {}
        self._consumer.unassign()


def consumer_properties(
    kafka: Mapping[str, str], group: str, instance: str, settings: SinkSettings
) -> dict[str, str | int | bool]:
    """librdkafka properties of a sink's consumer. Eager assignment: a worker's partitions change all at once."""
    return {
        **kafka,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "group.id": group,
        "group.instance.id": instance,
        "client.id": instance,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # The store says where to go on; an offset that the log has no more is lost data, never a reason to skip.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "partition.assignment.strategy": "roundrobin",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": 1_000,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        "queued.max.messages.kbytes": settings.queued_max_messages_kbytes,
        # Once that is full the client looks whether there is room again after a second, unless told otherwise.
        "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
        # By number too, a partition: a small record takes several times its size in the client.
        "queued.min.messages": 2 * settings.batch_records_max,
        # Compressed, and a partition: small records come out ten times as large.
        "fetch.message.max.bytes": 65_536,
        "topic.metadata.refresh.interval.ms": 2_000,
    }


def consumer(properties: Mapping[str, str | int | bool]) -> SinkConsumer:
    """A real one."""
    made: SinkConsumer = SinkGroupConsumer(properties)
    return made


class SinkGroupConsumer(HealthCheckedConsumer):
    """A consumer that says so where the broker doesn't know its user: librdkafka tells it beside its calls."""

    def __init__(self, properties: Mapping[str, str | int | bool]) -> None:
        self._refusals = ReportedErrors()
        super().__init__({**properties, "error_cb": self._refusals.on_error})

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        """As a consumer does. DeniedError: the broker doesn't take the user or the password."""
        messages: list[Any] = super().consume(num_messages, timeout)
        if self._refusals.authentication is not None and not messages:
            raise DeniedError(self._refusals.authentication.name())
        self._refusals.authentication = None
        return messages


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    return (-1 if partition is None else partition), (-1 if offset is None else offset)


def _raise_where_it_stops(error: KafkaError) -> None:
    """Brokers that are away come back; a membership that ended doesn't."""
    stopped = read_error(error)
    if stopped is not None:
        raise stopped
    log.warning("consumer.error", error=error.name())
