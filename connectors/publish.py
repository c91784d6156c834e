"""Publishing of a source's submissions: the ingest loop, and the publisher with an idempotent producer per user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Producer
from pydantic import BaseModel, Field

from connectors.errors import BrokerUnavailableError, NotDeliveredError, UnroutableError
from connectors.source import Route, Source, SubmissionBatch
from schemas.codec import Codec
from schemas.systems import SYSTEMS

#: Returns the librdkafka properties of a Kafka user, e.g. `Environment.kafka`. Raises KeyError for an unknown user.
PropertiesOfUser = Callable[[str], Mapping[str, str]]


#: Returns submissions for a topic with their content sealed.
Seal = Callable[[str, pa.Table], pa.Table]


class PublishSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the producers that publish submissions."""

    linger_ms: int = Field(default=50, ge=0, le=1_000)
    batch_size_bytes: int = Field(default=1_000_000, gt=0, le=10_000_000)
    #: A larger record is rejected here, before it is sent. Must stay below the brokers' `message.max.bytes`.
    record_bytes_max: int = Field(default=1_000_000, ge=1_024, le=4_000_000)
    queue_records_max: int = Field(default=50_000, gt=0, le=1_000_000)
    delivery_timeout_s: float = Field(default=60, gt=0, le=600)


@dataclass
class IngestSummary:
    """Counts of the submissions, rows and faults that the broker acknowledged."""

    submissions: int = 0
    rows: int = 0
    faults: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)

    def add(self, batch: SubmissionBatch) -> None:
        """Add the counts of a batch that was acknowledged."""
        records = batch.table.num_rows
        self.submissions += records
        self.rows += batch.rows
        self.faults += batch.faults
        self.by_topic[batch.route.topic] = self.by_topic.get(batch.route.topic, 0) + records


class Publisher(Protocol):
    """Sends submissions; `KafkaPublisher` sends them to brokers."""

    def prepare(self, routes: Collection[Route]) -> None:
        """Check every route: nothing may be sent if one of them does not exist."""

    def send(self, batch: SubmissionBatch) -> None:
        """Send submissions, in their order within a route."""

    def flush(self) -> None:
        """Return when everything sent is acknowledged."""


def ingest(
    source: Source, publisher: Publisher, progress: Callable[[int], None] = lambda bytes_done: None
) -> IngestSummary:
    """Publish the whole input of a source, and close the source.

    Call `progress` with the bytes done after each batch. Raise SourceFileError if nothing was published;
    NotDeliveredError or BrokerUnavailableError if a part may have been. A second ingest of the same input is
    harmless: intake reports duplicates, and they change nothing.
    """
    try:
        publisher.prepare(source.open())
    except BaseException:
        source.close()
        raise
    return publish_opened(source, publisher, progress)


def publish_opened(
    source: Source, publisher: Publisher, progress: Callable[[int], None] = lambda bytes_done: None
) -> IngestSummary:
    """Publish the whole input of an open source through a prepared publisher, and close the source.

    The second half of `ingest`, for callers that open several sources before they publish the first.
    """
    summary = IngestSummary()
    try:
        while batches := source.poll():
            for batch in batches:
                publisher.send(batch)
            publisher.flush()
            source.commit()
            for batch in batches:
                summary.add(batch)
            progress(source.bytes_done)
    finally:
        source.close()
    progress(source.bytes_total)
    return summary


class KafkaPublisher:
    """A publisher with an idempotent producer per user, which keeps the order within a topic. Serves many sources.

    Submissions of systems of the high level are sealed by `seal`.
    """

    def __init__(
        self,
        properties_of: PropertiesOfUser,
        codec: Codec,
        settings: PublishSettings | None = None,
        seal: Seal | None = None,
    ) -> None:
        self._seal = seal
        self._properties_of = properties_of
        self._codec = codec
        self._settings = settings or PublishSettings()
        self._producers: dict[str, Producer] = {}
        self._delivery_errors: list[KafkaError] = []

    def prepare(self, routes: Collection[Route]) -> None:
        """Create the producer of each route. Raise UnroutableError if its user or topic does not exist."""
        for route in routes:
            try:
                self._producer(route.user)
            except KeyError:
                raise UnroutableError(
                    f"{route.municipality or route.system} takes no part in this mesh: no user {route.user}"
                ) from None
            self._check_topic(route)

    def send(self, batch: SubmissionBatch) -> None:
        """Pass records to the producer. Delivery errors are raised by `flush` at the latest."""
        producer, table = self._producer(batch.route.user), batch.table
        if self._seal is not None and SYSTEMS[batch.route.system].is_high:
            table = self._seal(batch.route.topic, table)
        for value in self._codec.encode(batch.route.schema, table).to_pylist():
            self._produce(producer, batch.route.topic, value)

    def flush(self) -> None:
        """Wait until everything sent is acknowledged.

        Raise NotDeliveredError if the broker rejected records, BrokerUnavailableError after the delivery timeout.
        """
        unacknowledged = sum(
            producer.flush(self._settings.delivery_timeout_s) for producer in self._producers.values()
        )
        self._raise_delivery_errors()
        if unacknowledged:
            raise BrokerUnavailableError(f"{unacknowledged} records were not acknowledged in time")

    def _producer(self, user: str) -> Producer:
        if user not in self._producers:
            settings = self._settings
            self._producers[user] = Producer(
                {
                    **self._properties_of(user),
                    "client.id": f"source.{user}",
                    "enable.idempotence": True,
                    "partitioner": "murmur2_random",
                    "linger.ms": settings.linger_ms,
                    "batch.size": settings.batch_size_bytes,
                    "message.max.bytes": settings.record_bytes_max,
                    "queue.buffering.max.messages": settings.queue_records_max,
                    "delivery.timeout.ms": int(settings.delivery_timeout_s * 1000),
                    "on_delivery": self._on_delivery,
                    "log_level": 0,
                }
            )
        return self._producers[user]

    def _check_topic(self, route: Route) -> None:
        """Raise UnroutableError if the topic does not exist or the user may not see it."""
        try:
            metadata = self._producer(route.user).list_topics(route.topic, self._settings.delivery_timeout_s)
        except KafkaException as error:
            raise BrokerUnavailableError(f"no broker answers: {error.args[0].name()}") from None
        topic_error = metadata.topics[route.topic].error
        if topic_error is not None:
            raise UnroutableError(f"{route.user} cannot publish to {route.topic}: {topic_error.name()}")

    def _produce(self, producer: Producer, topic: str, value: bytes) -> None:
        try:
            producer.produce(topic, value)
        except BufferError:
            producer.flush(self._settings.delivery_timeout_s)
            self._raise_delivery_errors()
            producer.produce(topic, value)
        except KafkaException as error:
            raise self._produce_error(topic, len(value), error.args[0]) from None
        producer.poll(0)

    def _produce_error(self, topic: str, size_bytes: int, error: KafkaError) -> NotDeliveredError:
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            return NotDeliveredError(f"{topic}: {error.name()}")
        limit = self._settings.record_bytes_max
        return NotDeliveredError(
            f"{topic}: a submission of {size_bytes:,} bytes is larger than a record may be ({limit:,})"
        )

    def _on_delivery(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._delivery_errors.append(error)

    def _raise_delivery_errors(self) -> None:
        errors, self._delivery_errors = self._delivery_errors, []
        if not errors:
            return
        names = ", ".join(sorted({error.name() for error in errors}))
        if all(error.code() == KafkaError._MSG_TIMED_OUT for error in errors):
            raise BrokerUnavailableError(f"{len(errors)} records were not acknowledged in time ({names})")
        raise NotDeliveredError(f"the broker rejected {len(errors)} records ({names})")
