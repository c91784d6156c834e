"""Real clients, with the properties that the pipeline's promises rest on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
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
from streams.librdkafka.health import HealthCheckedConsumer
from streams.librdkafka.producer import TransactionalProducer
from streams.settings import PipelineSettings

Properties = dict[str, Any]

#: A reader waits so long at the end of a partition before it says so.
_EOF_WAIT_MS = 50
#: What a broker answers that isn't, or not yet, the one to ask; or nothing, as it just went.
_TRANSIENT: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT,
    }
)
#: An offset that nobody holds is told within a few milliseconds, where brokers are near; so long is asked in all.
_ANSWER_TIMEOUT_S: Final = 0.25
_ANSWER_TIMEOUT_MAX_S: Final = 3.0
#: So much longer for each that is asked for: 7,000 at once take a quarter of a second of a quiet broker and client.
_ANSWER_TIMEOUT_PER_PARTITION_S: Final = 0.000_2
#: So long a broker holds a member's request for records until there are so many bytes: an answer for each record that
#: comes, and each mark of a transaction, took a fifth of a broker's time at half of what it can do.
_FETCH_WAIT_MS = 50
_FETCH_MIN_BYTES = 65_536
#: A follower's request stays so long at the broker while nothing comes.
_TAILING_FETCH_WAIT_MS = 1_000


class KafkaClients:
    """One slot's clients (`streams.clients.Clients`); `connection` are the addresses and credentials of its user."""

    def __init__(
        self, connection: Mapping[str, Any], step: str, slot: int, settings: PipelineSettings
    ) -> None:
        self._connection, self._settings = dict(connection), settings
        self._group, self._id = group(step), transactional_id(step, slot)
        self._transient_topic, self._dlq_topic = command_topic(step), dlq_topic(step)
        self._dlq_state_topic, self._slot = dlq_state_topic(step), slot
        self._barrier_partition: Partition | None = None
        self._admin: AdminClient | None = None
        self._view: GroupInspector | None = None

    def producer(self) -> Producer:
        """A new producer of the slot's `transactional.id`."""
        properties = producer_properties(self._connection, self._id, self._settings)
        return cast("Producer", TransactionalProducer(properties, self._dlq_topic))

    def consumer(self) -> Consumer:
        """The slot's static member of the step's group."""
        properties = consumer_properties(self._connection, self._group, self._id, self._settings)
        return cast("Consumer", GroupConsumer(properties))

    def reader(self) -> Reader:
        """A reader that joins no group."""
        return cast("Reader", KafkaConsumer(reader_properties(self._connection, self._group)))

    def tailing_reader(self) -> Reader:
        """The same, in no hurry."""
        properties = reader_properties(self._connection, self._group) | {
            "fetch.wait.max.ms": _TAILING_FETCH_WAIT_MS
        }
        return cast("Reader", KafkaConsumer(properties))

    def barrier_partition(self) -> Partition:
        """A partition of what the step has parked, by the slot's number: two share one where there are too few."""
        if self._barrier_partition is None:
            try:
                found = self._administrator().list_topics(
                    self._dlq_state_topic, self._settings.request_timeout_s
                )
            except KafkaException as failure:
                raise UnavailableError(f"list_topics: {failure.args[0].name()}") from None
            topic = found.topics[self._dlq_state_topic]
            if topic.error is not None:
                raise stopped_by(topic.error)
            self._barrier_partition = self._dlq_state_topic, self._slot % max(1, len(topic.partitions))
        return self._barrier_partition

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Partitions of these topics that no member of the step's group has."""
        self._view = self._view or GroupInspector(self._new_administrator, self._group)
        return self._view.unassigned_partitions(inputs)

    def request_rebalance(self) -> RebalanceRequest:
        """A member that passes by: with the topic of acts, which all workers read apart from the group."""
        return TransientMember(
            transient_member_properties(self._connection, self._group, self._id, self._settings),
            self._transient_topic,
        )

    def _administrator(self) -> AdminClient:
        self._admin = self._admin or self._new_administrator()
        return self._admin

    def _new_administrator(self) -> AdminClient:
        return AdminClient(dict(self._connection))


class CommittedOffset(NamedTuple):
    """A committed offset, as `committed` tells it (`confluent_kafka.TopicPartition`, whose error can't be set)."""

    topic: str
    partition: int
    offset: int
    error: KafkaError | None = None
    metadata: str | None = None


class GroupConsumer(HealthCheckedConsumer):
    """A member of a group that tells which committed offsets are held by an open transaction.

    librdkafka's own `committed` waits until none of those asked for is, and then tells all. An administrator's request
    tells at once, but ends the process where the coordinator has moved (confluentinc/librdkafka#5040).
    """

    def __init__(self, properties: Properties) -> None:
        super().__init__(properties)
        self._answer_timeout_s = _ANSWER_TIMEOUT_S

    def committed(  # type: ignore[override]
        self, partitions: list[TopicPartition], timeout: float
    ) -> list[CommittedOffset]:
        """By partition the offset; UNSTABLE_OFFSET_COMMIT where it can't be told soon. KafkaException: it never can."""
        deadline = time.monotonic() + min(timeout, _ANSWER_TIMEOUT_MAX_S)
        found: list[CommittedOffset] = []
        some = False
        # All at once; where one is held that isn't told, and it is found by halves.
        asked = [partitions]
        while asked:
            part = asked.pop()
            left_s = deadline - time.monotonic()
            patience_s = self._answer_timeout_s + _ANSWER_TIMEOUT_PER_PARTITION_S * len(part)
            told = self._ask_committed(part, min(patience_s, left_s)) if left_s > 0 else None
            if told is not None:
                found, some = found + told, True
            elif len(part) > 1 and left_s > 0:
                middle = len(part) // 2
                asked += [part[middle:], part[:middle]]
            else:
                held = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
                found += [CommittedOffset(each.topic, each.partition, -1001, held) for each in part]
        # Nothing was told: all are held, or the way to the broker is slow.
        self._answer_timeout_s = (
            _ANSWER_TIMEOUT_S if some else min(_ANSWER_TIMEOUT_MAX_S, 2 * self._answer_timeout_s)
        )
        return found

    def _ask_committed(
        self, partitions: list[TopicPartition], timeout_s: float
    ) -> list[CommittedOffset] | None:
        """None where one of them is held, or nobody could be asked."""
        try:
            told = super().committed(partitions, timeout_s)
        except KafkaException as failure:
            if failure.args[0].code() in _TRANSIENT:
                return None
            raise
        return [
            CommittedOffset(each.topic, each.partition, each.offset, each.error, each.metadata)
            for each in told
        ]


def producer_properties(
    connection: Mapping[str, Any], transactional: str, settings: PipelineSettings
) -> Properties:
    """A producer of transactions; its `transactional.id` is the slot's own, so that the next worker fences it."""
    return {
        **connection,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "client.id": transactional,
        "transactional.id": transactional,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "message.timeout.ms": settings.message_timeout_ms,
        # A topic that isn't there is to be said before its records time out, and look like a broker that is away.
        "topic.metadata.propagation.max.ms": settings.message_timeout_ms // 2,
        "linger.ms": settings.linger_ms,
        "batch.size": settings.batch_size_bytes,
        "message.max.bytes": settings.record_bytes_max + 65_536,
        "compression.type": settings.compression_type,
        # As Java clients have it: the same key, the same partition, whoever writes it.
        "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 262_144,
    }


def consumer_properties(
    connection: Mapping[str, Any], group_id: str, member: str, settings: PipelineSettings
) -> Properties:
    """A static member: started again it has its partitions back at once.

    cooperative-sticky spreads partitions over workers whatever their topics (range gives all topics of one partition to
    one worker), and takes from a worker only what another is to have: state that stays is not restored again.
    """
    return {
        **connection,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "client.id": member,
        "group.id": group_id,
        "group.instance.id": member,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        # A rebalance begins for the others with their next heartbeat: a tenth more to wait, not a fifth.
        "heartbeat.interval.ms": settings.session_timeout_ms // 10,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        "topic.metadata.refresh.interval.ms": settings.topic_metadata_refresh_interval_ms,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Offsets are told by us: one that isn't in the log must stop us, never be made up.
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": settings.queued_max_messages_kbytes,
        "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
        # A partition that goes on is not in the request that waits for the others; half a second by default.
        "fetch.wait.max.ms": _FETCH_WAIT_MS,
        "fetch.min.bytes": _FETCH_MIN_BYTES,
        "fetch.message.max.bytes": settings.batch_size_bytes,
    }


def transient_member_properties(
    connection: Mapping[str, Any], group_id: str, member: str, settings: PipelineSettings
) -> Properties:
    """A member with nothing to come back to: it leaves as it closes."""
    properties = consumer_properties(connection, group_id, f"{member}.passing", settings)
    del properties["group.instance.id"]
    return properties


def reader_properties(connection: Mapping[str, Any], group_id: str) -> Properties:
    """A reader of given partitions that tells their ends; `group_id` is only named, never joined."""
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
    """The offset after the last record of each, open transactions included. UnavailableError: not told in time."""
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(*partition): latest for partition in partitions}
    if not asked:
        return {}
    told = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=timeout_s
    )
    try:
        return {(at.topic, at.partition): found.result(timeout_s).offset for at, found in told.items()}
    except KafkaException as failure:
        # A topic that isn't there, or that we may not see, doesn't come by waiting.
        stopped = stopped_by(failure.args[0])
        told_apart = stopped if isinstance(stopped, DeniedError) else None
        raise told_apart or UnavailableError(f"list_offsets: {failure.args[0].name()}") from None
    except TimeoutError:
        raise UnavailableError("list_offsets: no answer") from None
