"""Sends what a source polls: batches through the codec, an idempotent producer per user, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Producer
from pydantic import BaseModel, Field

from connectors.errors import BrokerUnavailableError, NotDeliveredError, UnroutableError
from connectors.source import Route, Source, SubmissionBatch
from schemas.codec import Codec

#: Properties by which a user connects, e.g. `Environment.kafka`; KeyError for a user there isn't.
Connect = Callable[[str], Mapping[str, str]]


class PublishSettings(BaseModel, frozen=True, extra="forbid"):
    """How a source's records are sent."""

    linger_ms: int = Field(default=50, ge=0, le=1_000)
    batch_size_bytes: int = Field(default=1_000_000, gt=0, le=10_000_000)
    #: The door: what is larger is refused here, before it is sent. Below the brokers' `message.max.bytes`.
    record_bytes_max: int = Field(default=1_000_000, ge=1_024, le=4_000_000)
    queue_records_max: int = Field(default=50_000, gt=0, le=1_000_000)
    delivery_timeout_s: float = Field(default=60, gt=0, le=600)


@dataclass
class Summary:
    """What was published: all counts are of records and rows that the broker acknowledged."""

    hand_overs: int = 0
    rows: int = 0
    faults: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)

    def add(self, found: SubmissionBatch) -> None:
        """Counts hand-overs that were acknowledged."""
        records = found.table.num_rows
        self.hand_overs += records
        self.rows += found.rows
        self.faults += found.faults
        self.by_topic[found.route.topic] = self.by_topic.get(found.route.topic, 0) + records


class Publisher(Protocol):
    """Sends hand-overs; `KafkaPublisher` does so through a broker."""

    def prepare(self, routes: Collection[Route]) -> None:
        """Makes sure of every route, so that nothing is sent where one is missing."""

    def send(self, found: SubmissionBatch) -> None:
        """Takes hand-overs, in their order within a route."""

    def flush(self) -> None:
        """Returns when all that was sent is acknowledged."""


def ingest(
    source: Source, publisher: Publisher, progress: Callable[[int], None] = lambda bytes_done: None
) -> Summary:
    """Carries a source's whole input into the mesh; `progress` is called with the bytes done.

    SourceFileError: nothing was published. NotDeliveredError, BrokerUnavailableError: part of it may have been; taken
    in again, what is in already changes nothing.
    """
    try:
        publisher.prepare(source.open())
    except BaseException:
        source.close()
        raise
    return carry(source, publisher, progress)


def carry(
    source: Source, publisher: Publisher, progress: Callable[[int], None] = lambda bytes_done: None
) -> Summary:
    """What `ingest` does with a source that is open, for a publisher that is prepared; closes the source."""
    summary = Summary()
    try:
        while found := source.poll():
            for hand_overs in found:
                publisher.send(hand_overs)
            publisher.flush()
            source.commit()
            for hand_overs in found:
                summary.add(hand_overs)
            progress(source.bytes_done)
    finally:
        source.close()
    progress(source.bytes_total)
    return summary


class KafkaPublisher:
    """An idempotent producer per user; keeps the order within a topic. One may serve many files."""

    def __init__(self, connect: Connect, codec: Codec, settings: PublishSettings | None = None) -> None:
        self._connect = connect
        self._codec = codec
        self._settings = settings or PublishSettings()
        self._producers: dict[str, Producer] = {}
        self._refused: list[KafkaError] = []

    def prepare(self, routes: Collection[Route]) -> None:
        """A producer for each route; UnroutableError where there is no such user or topic."""
        for route in routes:
            try:
                self._producer(route.user)
            except KeyError:
                raise UnroutableError(
                    f"{route.municipality or route.system} takes no part in this mesh: no user {route.user}"
                ) from None
            self._topic_exists(route)

    def send(self, found: SubmissionBatch) -> None:
        """Hands records to the producer; errors come at the latest from `flush`."""
        producer = self._producer(found.route.user)
        for value in self._codec.encode(found.route.schema, found.table).to_pylist():
            self._produce(producer, found.route.topic, value)

    def flush(self) -> None:
        """NotDeliveredError: the broker refused records. BrokerUnavailableError: it didn't answer in time."""
        left = sum(producer.flush(self._settings.delivery_timeout_s) for producer in self._producers.values())
        self._raise_refused()
        if left:
            raise BrokerUnavailableError(f"{left} records were not acknowledged in time")

    def _producer(self, user: str) -> Producer:
        if user not in self._producers:
            settings = self._settings
            self._producers[user] = Producer(
                {
                    **self._connect(user),
                    "client.id": f"source.{user}",
                    "enable.idempotence": True,
                    "partitioner": "murmur2_random",
                    "linger.ms": settings.linger_ms,
                    "batch.size": settings.batch_size_bytes,
                    "message.max.bytes": settings.record_bytes_max,
                    "queue.buffering.max.messages": settings.queue_records_max,
                    "delivery.timeout.ms": int(settings.delivery_timeout_s * 1000),
                    "on_delivery": self._delivered,
                    "log_level": 0,
                }
            )
        return self._producers[user]

    def _topic_exists(self, route: Route) -> None:
        try:
            found = self._producer(route.user).list_topics(route.topic, self._settings.delivery_timeout_s)
        except KafkaException as error:
            raise BrokerUnavailableError(f"no broker answers: {error.args[0].name()}") from None
        refused = found.topics[route.topic].error
        if refused is not None:
            raise UnroutableError(f"{route.user} can't hand over to {route.topic}: {refused.name()}")

    def _produce(self, producer: Producer, topic: str, value: bytes) -> None:
        try:
            producer.produce(topic, value)
        except BufferError:
            producer.flush(self._settings.delivery_timeout_s)
            self._raise_refused()
            producer.produce(topic, value)
        except KafkaException as error:
            raise self._not_sent(topic, len(value), error.args[0]) from None
        producer.poll(0)

    def _not_sent(self, topic: str, size: int, error: KafkaError) -> NotDeliveredError:
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            return NotDeliveredError(f"{topic}: {error.name()}")
        limit = self._settings.record_bytes_max
        return NotDeliveredError(
            f"{topic}: a hand-over of {size:,} bytes is larger than a record may be ({limit:,})"
        )

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._refused.append(error)

    def _raise_refused(self) -> None:
        refused, self._refused = self._refused, []
        if not refused:
            return
        names = ", ".join(sorted({error.name() for error in refused}))
        if all(error.code() == KafkaError._MSG_TIMED_OUT for error in refused):
            raise BrokerUnavailableError(f"{len(refused)} records were not acknowledged in time ({names})")
        raise NotDeliveredError(f"the broker refused {len(refused)} records ({names})")
