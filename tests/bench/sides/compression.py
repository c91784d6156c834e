"""Writing and reading of records with given producer properties, without any processing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition

from infra.environment import Environment
from infra.local.kafka_server import ADMIN
from streams.kafka_clients import consumer_properties
from streams.settings import PipelineSettings
from tests.bench import log
from tests.bench.side import Task
from tests.bench.timing import Run, Stopwatch

_DEADLINE_S: Final = 60.0
_PART: Final = 1_000


def run(side: str, task: Task) -> Run:
    """Write or read the records. Options: `file` of the records, `topic`, `properties` of the producer."""
    watch = Stopwatch(task.records, task.warm_up)
    kafka = {**Environment.load().kafka(ADMIN), "log_level": 3}
    (_write if side == "write" else _read)(kafka, task.options, watch)
    return watch.run


def _write(kafka: dict[str, Any], options: Any, watch: Stopwatch) -> None:
    records = log.load(Path(options["file"]))
    queue = {"enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
    producer = Producer({**kafka, **options["properties"], **queue, "partitioner": "murmur2_random"})
    for start in range(0, len(records), _PART):
        for record in records[start : start + _PART]:
            producer.produce(options["topic"], record.value, record.key)
        producer.poll(0)
        last = start + _PART >= len(records)
        if last and producer.flush(_DEADLINE_S):
            raise RuntimeError("the broker did not acknowledge all records in time")
        watch.record_batch(min(_PART, len(records) - start))


def _read(kafka: dict[str, Any], options: Any, watch: Stopwatch) -> None:
    """Read from the beginning: every round has written the same records."""
    settings = PipelineSettings()
    reader = Consumer(
        consumer_properties(kafka, "mesh.bench.compression", "mesh.bench.compression", settings)
    )
    partitions = reader.list_topics(options["topic"], timeout=_DEADLINE_S).topics[options["topic"]].partitions
    reader.assign([TopicPartition(options["topic"], number, 0) for number in partitions])
    while not watch.done:
        watch.record_batch(len(reader.consume(settings.batch_records_max, 0.5)))
    reader.close()
