"""Real Kafka clients, with the properties that the pipeline's guarantees rest on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import command_topic, dlq_state_topic, dlq_topic, group, transactional_id
from streams.clients import (
    FETCH_BACKOFF_MS,
    RECONNECT_BACKOFF_MAX_MS,
    Consumer,
    Partition,
    Producer,
    Reader,
    RebalanceRequest,
)
from streams.errors import DeniedError, UnavailableError
from streams.group_admin import GroupInspector, TransientMember
from streams.kafka_errors import stopped_by
from streams.librdkafka.group_consumer import GroupConsumer
from streams.librdkafka.transactional_producer import TransactionalProducer
from streams.settings import PipelineSettings

Properties = dict[str, Any]

#: How long a reader waits at the end of a partition before it returns the end.
_EOF_WAIT_MS = 50
#: Return a fetch after 50 ms or at 64 KB: answering for every record and every transaction marker cost a fifth of a
#: broker's time at half of its highest rate.
_FETCH_WAIT_MS = 50
_FETCH_MIN_BYTES = 65_536
#: How long a broker holds a tailing reader's fetch while there is no record.
_TAILING_FETCH_WAIT_MS = 1_000


class KafkaClients:
    """One slot's clients (`streams.clients.Clients`); `connection` has the addresses and its user's credentials."""

    def __init__(
        self, connection: Mapping[str, Any], step: str, slot: int, settings: PipelineSettings
    ) -> None:
        self._connection, self._settings = dict(connection), settings
        self._group, self._id = group(step), transactional_id(step, slot)
        self._transient_topic, self._dlq_topic = command_topic(step), dlq_topic(step)
        self._dlq_state_topic, self._slot = dlq_state_topic(step), slot
        self._barrier_partition: Partition | None = None
        self._partition_counts: dict[str, int] = {}
        self._admin: AdminClient | None = None
        self._inspector: GroupInspector | None = None

    def producer(self) -> Producer:
        """Return a new producer with the slot's `transactional.id`."""
        properties = producer_properties(self._connection, self._id, self._settings)
        return cast("Producer", TransactionalProducer(properties, self._dlq_topic))

    def consumer(self) -> Consumer:
        """Return the slot's static member of the step's group."""
        properties = consumer_properties(self._connection, self._group, self._id, self._settings)
        return cast("Consumer", GroupConsumer(properties))

    def reader(self) -> Reader:
        """Return a reader outside the group."""
        return cast("Reader", KafkaConsumer(reader_properties(self._connection, self._group)))

    def tailing_reader(self) -> Reader:
        """Return a reader whose fetches wait long."""
        properties = reader_properties(self._connection, self._group) | {
            "fetch.wait.max.ms": _TAILING_FETCH_WAIT_MS
        }
        return cast("Reader", KafkaConsumer(properties))

    def table_reader(self) -> Reader:
        """Return a reader that returns the end of a partition soon.

        The client returns it with the first empty fetch, so a tailing reader would wait for a second.
        """
        return self.reader()

    def end_offsets(self, topic: str) -> dict[Partition, int]:
        """Return the offset after the last record of each partition: one request to each leader."""
        partitions = [(topic, number) for number in range(self.partition_count(topic))]
        return end_offsets(self._administrator(), partitions, self._settings.request_timeout_s)

    def partition_count(self, topic: str) -> int:
        """Return the number of partitions of a topic; ask for it once."""
        if topic not in self._partition_counts:
            self._partition_counts[topic] = self._ask_partition_count(topic)
        return self._partition_counts[topic]

    def now_ms(self) -> int:
        """Return the time of day."""
        return time.time_ns() // 1_000_000

    def barrier_partition(self) -> Partition:
        """Return the partition on which this slot commits its barrier tokens (`streams.barrier`).

        It is the partition of `state.<step>.dlq` with the slot's number. If there are fewer partitions than
        slots, several slots share one. Raise UnavailableError if no broker answers.
        """
        if self._barrier_partition is None:
            count = self.partition_count(self._dlq_state_topic)
            self._barrier_partition = self._dlq_state_topic, self._slot % count
        return self._barrier_partition

    def _ask_partition_count(self, name: str) -> int:
        try:
            metadata = self._administrator().list_topics(name, self._settings.request_timeout_s)
        except KafkaException as failure:
            raise UnavailableError(f"list_topics: {failure.args[0].name()}") from None
        topic = metadata.topics[name]
        if topic.error is not None:
            raise stopped_by(topic.error)
        if not topic.partitions:
            # Never take this for an answer: a broadcast would go nowhere.
            raise UnavailableError("list_topics: no partition")
        return len(topic.partitions)

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Return input partitions that no member of the step's group has."""
        self._inspector = self._inspector or GroupInspector(self._new_administrator, self._group)
        return self._inspector.unassigned_partitions(inputs)

    def request_rebalance(self) -> RebalanceRequest:
        """Trigger a rebalance: a short-lived extra member joins the group.

        It subscribes to the command topic, which no other member does.
        """
        return TransientMember(
            transient_member_properties(self._connection, self._group, self._id, self._settings),
            self._transient_topic,
        )

    def _administrator(self) -> AdminClient:
        self._admin = self._admin or self._new_administrator()
        return self._admin

    def _new_administrator(self) -> AdminClient:
        return AdminClient(dict(self._connection))


def producer_properties(
    connection: Mapping[str, Any], transactional: str, settings: PipelineSettings
) -> Properties:
    """Return the properties of a transactional producer; each slot has its own `transactional.id`."""
    return {
        **connection,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "client.id": transactional,
        "transactional.id": transactional,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "message.timeout.ms": settings.message_timeout_ms,
        # Report a missing topic before its records time out, which would look like an unavailable broker.
        "topic.metadata.propagation.max.ms": settings.message_timeout_ms // 2,
        "linger.ms": settings.linger_ms,
        "batch.size": settings.batch_size_bytes,
        "message.max.bytes": settings.record_bytes_max + 65_536,
        "compression.type": settings.compression_type,
        # The Java clients' partitioner: a key has the same partition, whichever client writes it.
        "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 262_144,
    }


def consumer_properties(
    connection: Mapping[str, Any], group_id: str, member: str, settings: PipelineSettings
) -> Properties:
    """Return the properties of a static member, which gets its partitions back at once after a restart.

    cooperative-sticky spreads partitions over workers whatever their topics (range assigns all one-partition topics to
    one worker), and revokes only what another worker is to get: the state of all other partitions stays.
    """
    return {
        **connection,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "client.id": member,
        "group.id": group_id,
        "group.instance.id": member,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        # Members learn of a rebalance with their next heartbeat: a tenth of the session timeout instead of a fifth.
        "heartbeat.interval.ms": settings.session_timeout_ms // 10,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        "topic.metadata.refresh.interval.ms": settings.topic_metadata_refresh_interval_ms,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # The pipeline seeks to its positions: an offset that isn't in the log must stop the worker.
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": settings.queued_max_messages_kbytes,
        "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
        # A resumed partition is only in the next fetch, which waits for this one: the default is half a second.
        "fetch.wait.max.ms": _FETCH_WAIT_MS,
        "fetch.min.bytes": _FETCH_MIN_BYTES,
        "fetch.message.max.bytes": settings.batch_size_bytes,
    }


def transient_member_properties(
    connection: Mapping[str, Any], group_id: str, member: str, settings: PipelineSettings
) -> Properties:
    """Return the properties of a dynamic member, which leaves the group when it closes."""
    properties = consumer_properties(connection, group_id, f"{member}.transient", settings)
    del properties["group.instance.id"]
    return properties


def reader_properties(connection: Mapping[str, Any], group_id: str) -> Properties:
    """Return the properties of a reader that returns the ends of partitions; it never joins `group_id`."""
    return {
        **connection,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "group.id": group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": _EOF_WAIT_MS,
        "fetch.message.max.bytes": 4_194_304,
        "queued.max.messages.kbytes": 65_536,
        "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
    }


def end_offsets(
    admin: AdminClient, partitions: Iterable[Partition], timeout_s: float
) -> dict[Partition, int]:
    """Return the offset after the last record of each partition, records of open transactions included.

    Raise UnavailableError without an answer in time.
    """
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(*partition): latest for partition in partitions}
    if not asked:
        return {}
    answers = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=timeout_s
    )
    try:
        return {(at.topic, at.partition): answer.result(timeout_s).offset for at, answer in answers.items()}
    except KafkaException as failure:
        # Waiting doesn't help if a topic is missing, or the user may not see it.
        stopped = stopped_by(failure.args[0])
        denied = stopped if isinstance(stopped, DeniedError) else None
        raise denied or UnavailableError(f"list_offsets: {failure.args[0].name()}") from None
    except TimeoutError:
        raise UnavailableError("list_offsets: no answer") from None
