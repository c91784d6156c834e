"""One worker of a sink: it reads committed records of its share of a domain topic, and puts them into the sink.

Kafka's consumer group divides the partitions between the workers of a domain. The start offsets come from the store,
never from the group; the offsets committed to the group only serve for displaying lag.
"""

from __future__ import annotations

from collections import Counter
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
from connectors.withdrawal_reader import WithdrawalReader
from schemas.codec import Codec
from streams.batch_size import AdaptiveBatchSize
from streams.clients import FETCH_BACKOFF_MS, RECONNECT_BACKOFF_MAX_MS, Message
from streams.errors import DeniedError
from streams.kafka_errors import LOST, read_error
from streams.librdkafka.group_consumer import HealthCheckedConsumer
from streams.librdkafka.transactional_producer import ReportedErrors

log = structlog.get_logger()

#: Batches that may be fenced in a row before the worker ends.
_FENCED_MAX: Final = 10
#: How long to wait for the range of offsets of a partition, which only a log line shows.
_WATERMARK_TIMEOUT_S: Final = 5.0
#: What to do if the log doesn't have the offset that the store has: it lost records, or was deleted and created again.
OFFSET_OUTSIDE_LOG: Final = "restore the topic or run mesh replay --yes"


class SinkSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the consumer of a sink."""

    batch_records_max: int = Field(default=5_000, gt=0, le=50_000)
    poll_timeout_s: float = Field(default=0.1, gt=0, le=5)
    #: Records prefetched for the next batches: several batches, as the store may stall while the broker does not.
    queued_max_messages_kbytes: int = Field(default=8_192, ge=1_024, le=1_048_576)
    session_timeout_ms: int = Field(default=10_000, ge=6_000, le=60_000)
    #: Longer than all attempts of a sink at one batch.
    max_poll_interval_ms: int = Field(default=300_000, ge=60_000, le=3_600_000)


class SinkConsumer(Protocol):
    """The part of a Kafka consumer that the worker uses."""

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        """Join the group. The callbacks run within `consume`."""

    def consume(self, num_messages: int, timeout: float) -> Sequence[Message]:
        """Return up to `num_messages` records, ends of partitions and errors, after `timeout` seconds at the latest."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from their offsets."""

    def unassign(self) -> None:
        """Read no partition."""

    def seek(self, partition: TopicPartition) -> None:
        """Continue from that offset."""

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int] | None:
        """Return a partition's first offset and the one after its last, from a broker; None after `timeout`."""

    def commit(self, *, offsets: list[TopicPartition], asynchronous: Literal[True]) -> None:
        """Commit offsets to the group."""

    def close(self) -> None:
        """Leave the group."""


class AfterBatch(Protocol):
    """Work at the end of each `run_once`."""

    def __call__(self, applied: int) -> int:
        """Do the work after `applied` records, and return the number of rows it processed itself."""

    def close(self) -> None:
        """Release connections."""


@dataclass(frozen=True)
class SinkInput:
    """The input of a worker: a topic, the schema and codec of its records.

    `commands` are those on its dead letters, `withdrawals` those of addresses; None for a domain without addresses.
    """

    topic: str
    schema: str
    codec: Codec
    commands: SinkCommands | None = None
    withdrawals: WithdrawalReader | None = None


class SinkWorker:
    """The loop around a sink. One thread calls `start`, `run_once` repeatedly, and `close`; or `run` for all of it.

    `after` is the work at the end of each `run_once`: the relay of an outbox.
    """

    def __init__(
        self,
        sink_input: SinkInput,
        sink: Sink,
        consumer: SinkConsumer,
        settings: SinkSettings | None = None,
        after: AfterBatch | None = None,
    ) -> None:
        self._topic, self._schema, self._codec = sink_input.topic, sink_input.schema, sink_input.codec
        self._sink = sink
        self._consumer, self._after, self._commands = consumer, after, sink_input.commands
        self._withdrawals = sink_input.withdrawals
        self._settings = settings or SinkSettings()
        self._positions: dict[int, int] = {}
        self._fenced_in_a_row = 0
        self._batch_size = AdaptiveBatchSize()

    @property
    def partitions(self) -> list[int]:
        """The partitions assigned to this worker."""
        return sorted(self._positions)

    def run(self, stop: Event) -> None:
        """Run until `stop` is set. Raise ConnectorError or StreamError if this worker cannot continue."""
        try:
            self.start()
            while not stop.is_set():
                self.run_once()
        finally:
            self.close()

    def start(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def run_once(self) -> int:
        """Apply at most one batch, atomically; return the number of records, with withdrawals and outbox rows."""
        # 1. Withdraw addresses: before anything that may fail, and whatever is blocked.
        withdrawn = self._withdrawals.poll(self._sink) if self._withdrawals else 0
        # 2. Read new records. Partitions may be assigned or revoked in here, and not later within this call.
        records, ends = self._read()
        # 3. Apply them with the offsets after them. The positions advance only to the offsets that the store returns.
        processed = withdrawn + (self._apply(records, ends) if ends else 0)
        # 4. Handle a command on a dead letter.
        processed += self._handle_command()
        # 5. Publish receipts and dead letters from the store.
        return processed + (self._after(processed) if self._after else 0)

    def close(self) -> None:
        """Leave the group. The next owner of the partitions reads again what was not committed."""
        self._sink.close()
        if self._after:
            self._after.close()
        if self._commands:
            self._commands.close()
        if self._withdrawals:
            self._withdrawals.close()
        self._consumer.close()

    def _read(self) -> tuple[list[Record], dict[int, int]]:
        """Return new records, and the offset after them per partition.

        If a partition is read to its end, the offset is the partition's end offset. It may be greater than
        the last record's offset plus one, because transaction markers have offsets too.
        """
        records: list[Record] = []
        ends: dict[int, int] = {}
        # A batch that timed out is committed in parts.
        batch_records_max = self._batch_size.scale(self._settings.batch_records_max)
        messages = self._consumer.consume(batch_records_max, self._settings.poll_timeout_s)
        for message in messages:
            partition, offset = _position(message)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._log_if_offset_is_outside(partition, error)
                _raise_if_fatal(error)
            elif offset >= ends.get(partition, self._positions.get(partition, offset + 1)):
                if error is None:
                    records.append(message)
                    ends[partition] = offset + 1
                elif offset > ends.get(partition, self._positions[partition]):
                    ends[partition] = offset
        return records, ends

    def _apply(self, records: list[Record], ends: Mapping[int, int]) -> int:
        try:
            self._sink.put(batch_of(self._codec, self._schema, records, ends))
            stored = self._sink.flush()
        except SinkFencedError:
            self._reopen()
            return 0
        except TransactionTimeoutError:
            self._reduce_batch_size(len(records))
            return 0
        self._fenced_in_a_row = 0
        self._batch_size.succeeded()
        self._positions = dict(stored)
        self._report_offsets(ends)
        records_by_partition = Counter(record.partition() for record in records)
        for partition, offset in ends.items():
            log.info(
                "batch.committed",
                topic=self._topic,
                partition=partition,
                offset_next=offset,
                records=records_by_partition[partition],
            )
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
        """Continue from the stored offsets, after another sink committed."""
        self._fenced_in_a_row += 1
        if self._fenced_in_a_row > _FENCED_MAX:
            raise SinkFencedError(
                f"fenced {self._fenced_in_a_row} times in a row: another sink applies the same partitions"
            )
        self._seek_to_stored()

    def _reduce_batch_size(self, records: int) -> None:
        """Read the same records again in smaller batches. Raise TransactionTimeoutError after a batch of one."""
        if self._batch_size.scale(self._settings.batch_records_max) == 1:
            raise TransactionTimeoutError("a batch of one record timed out")
        self._batch_size.failed()
        log.warning("batch.timed-out", topic=self._topic, records=records)
        self._seek_to_stored()

    def _seek_to_stored(self) -> None:
        self._positions = dict(self._sink.open(self._positions))
        for partition, offset in self._positions.items():
            self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def _log_if_offset_is_outside(self, partition: int, error: KafkaError) -> None:
        """Log what to do if the log of a partition doesn't have its stored offset: an operator must decide."""
        if error.code() not in LOST or partition not in self._positions:
            return
        with suppress(KafkaException):
            log_range = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), _WATERMARK_TIMEOUT_S
            )
            offset, (first, end) = self._positions[partition], log_range or (0, 0)
            log.error(
                "sink.offset-beyond-end" if offset > end else "sink.records-deleted",
                topic=self._topic,
                partition=partition,
                offset=offset,
                offset_first=first,
                offset_end=end,
                action=OFFSET_OUTSIDE_LOG,
            )

    def _report_offsets(self, ends: Mapping[int, int]) -> None:
        # The store has the offsets: a commit to the group that fails only leaves the displayed lag too high.
        with suppress(KafkaException):
            offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in ends.items()]
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _assigned(self, _: object, partitions: list[TopicPartition]) -> None:
        self._positions = dict(self._sink.open([assigned.partition for assigned in partitions]))
        if self._commands:
            self._commands.on_assignment()
        log.info("partitions.assigned", topic=self._topic, partitions=self.partitions)
        self._consumer.assign(
            [TopicPartition(self._topic, partition, offset) for partition, offset in self._positions.items()]
        )

    def _revoked(self, _: object, partitions: list[TopicPartition]) -> None:
        # No batch is open: each `run_once` ends with its commit.
        log.info("partitions.revoked", topic=self._topic, partitions=self.partitions)
        self._positions = {}
        self._consumer.unassign()


def consumer_properties(
    kafka: Mapping[str, str], group: str, instance: str, settings: SinkSettings
) -> dict[str, str | int | bool]:
    """Return the librdkafka properties of a sink's consumer.

    Assignment is eager: all partitions of a worker change at once.
    """
    return {
        **kafka,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "group.id": group,
        "group.instance.id": instance,
        "client.id": instance,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Start offsets come from the store. One that the log no longer has means lost data, so nothing is skipped.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "partition.assignment.strategy": "roundrobin",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": 1_000,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        "queued.max.messages.kbytes": settings.queued_max_messages_kbytes,
        # Once the queue is full, the client by default checks only after a second whether there is room again.
        "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
        # A limit by number too, per partition: a small record takes several times its size in the client.
        "queued.min.messages": 2 * settings.batch_records_max,
        # Per partition and compressed: small records become ten times as large when decompressed.
        "fetch.message.max.bytes": 65_536,
        "topic.metadata.refresh.interval.ms": 2_000,
    }


def sink_consumer(properties: Mapping[str, str | int | bool]) -> SinkConsumer:
    """Return a consumer of real brokers."""
    group_consumer: SinkConsumer = SinkGroupConsumer(properties)
    return group_consumer


class SinkGroupConsumer(HealthCheckedConsumer):
    """A consumer that raises DeniedError if the broker rejects its login: librdkafka reports that only by callback."""

    def __init__(self, properties: Mapping[str, str | int | bool]) -> None:
        self._reported_errors = ReportedErrors()
        super().__init__({**properties, "error_cb": self._reported_errors.on_error})

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        """Return messages as a consumer does. Raise DeniedError if the broker rejects the user or the password."""
        messages: list[Any] = super().consume(num_messages, timeout)
        if self._reported_errors.authentication is not None and not messages:
            raise DeniedError(self._reported_errors.authentication.name())
        self._reported_errors.authentication = None
        return messages


def _position(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    return (-1 if partition is None else partition), (-1 if offset is None else offset)


def _raise_if_fatal(error: KafkaError) -> None:
    """Raise the error if reading cannot continue; only log it if the client recovers by itself."""
    fatal = read_error(error)
    if fatal is not None:
        raise fatal
    log.warning("consumer.error", error=error.name())
