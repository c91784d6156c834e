"""A consume → produce loop in transactions by confluent-kafka, with the clients' settings that the pipeline has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from infra.environment import Environment
from infra.local.kafka_server import ADMIN
from streams.kafka_clients import consumer_properties, producer_properties
from streams.settings import PipelineSettings
from tests.bench.timing import Run, Stopwatch

#: How long a batch is waited for, and for how long a commit.
_GATHER_S: Final = 0.05
_COMMIT_S: Final = 30.0

#: What is to be produced, as arguments of `Producer.produce`: topic, value, key, partition, and the timestamp.
Produced = tuple[str, bytes | None, bytes | None, int, int]
#: Makes of a batch what follows from it.
Work = Callable[[Sequence[Any]], Iterable[Produced]]


def run(name: str, topics: list[str], work: Work, watch: Stopwatch) -> Run:
    """Consumes `topics` from where group `mesh.bench.<name>` stands, until all records are committed."""
    kafka = {**Environment.load().kafka(ADMIN), "log_level": 3}
    settings = PipelineSettings()
    member = f"mesh.bench.{name}"
    consumer = Consumer(consumer_properties(kafka, member, member, settings))
    # Who works a record at a time takes longer over a batch than a transaction of ours may last.
    lasting = settings.model_copy(update={"transaction_timeout_ms": 60_000, "message_timeout_ms": 30_000})
    producer = Producer(producer_properties(kafka, member, lasting))
    producer.init_transactions(_COMMIT_S)
    consumer.subscribe(topics, on_assign=_assign)
    while not watch.done:
        messages = consumer.consume(settings.batch_records_max, _GATHER_S)
        if messages:
            producer.begin_transaction()
            for topic, value, key, partition, timestamp in work(messages):
                producer.produce(topic, value, key, partition, timestamp=timestamp)
            producer.poll(0)
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(
                [each for each in positions if each.offset >= 0],
                consumer.consumer_group_metadata(),
                _COMMIT_S,
            )
            producer.commit_transaction(_COMMIT_S)
            watch.add(len(messages))
    consumer.close()
    return watch.run


def _assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """From the committed offsets, else from the beginning: nothing is made up."""
    found = consumer.committed(partitions, _COMMIT_S)
    consumer.incremental_assign(
        [
            TopicPartition(each.topic, each.partition, each.offset if each.offset >= 0 else OFFSET_BEGINNING)
            for each in found
        ]
    )
