"""A consume → produce loop in transactions by confluent-kafka, with the client settings of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from infra.environment import Environment
from infra.local.kafka_server import ADMIN
from streams.kafka_clients import consumer_properties, producer_properties
from streams.settings import PipelineSettings
from tests.bench.timing import Run, Stopwatch

#: Timeouts of a batch and of a commit.
_POLL_S: Final = 0.05
_COMMIT_S: Final = 30.0

#: Arguments of `Producer.produce`: topic, value, key, partition, timestamp in ms.
ProduceArguments = tuple[str, bytes | None, bytes | None, int, int]
#: Returns the records to produce for a batch.
ProcessBatch = Callable[[Sequence[Any]], Iterable[ProduceArguments]]


def run(name: str, topics: list[str], process_batch: ProcessBatch, watch: Stopwatch) -> Run:
    """Consume `topics` from the committed offsets of group `mesh.bench.<name>` until all records are committed."""
    kafka = {**Environment.load().kafka(ADMIN), "log_level": 3}
    settings = PipelineSettings()
    member = f"mesh.bench.{name}"
    consumer = Consumer(consumer_properties(kafka, member, member, settings))
    # A record at a time takes longer for a batch than a transaction of the pipeline may last.
    producer_settings = settings.model_copy(
        update={"transaction_timeout_ms": 60_000, "message_timeout_ms": 30_000}
    )
    producer = Producer(producer_properties(kafka, member, producer_settings))
    producer.init_transactions(_COMMIT_S)
    consumer.subscribe(topics, on_assign=_assign)
    while not watch.done:
        messages = consumer.consume(settings.batch_records_max, _POLL_S)
        if messages:
            producer.begin_transaction()
            for topic, value, key, partition, timestamp in process_batch(messages):
                producer.produce(topic, value, key, partition, timestamp=timestamp)
            producer.poll(0)
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(
                [position for position in positions if position.offset >= 0],
                consumer.consumer_group_metadata(),
                _COMMIT_S,
            )
            producer.commit_transaction(_COMMIT_S)
            watch.record_batch(len(messages))
    consumer.close()
    return watch.run


def _assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """Assign the partitions at their committed offsets, or at the beginning if there are none."""
    committed = consumer.committed(partitions, _COMMIT_S)
    consumer.incremental_assign(
        [
            TopicPartition(
                offset.topic, offset.partition, offset.offset if offset.offset >= 0 else OFFSET_BEGINNING
            )
            for offset in committed
        ]
    )
