"""Records written as a way of compression has it, and read: nothing else is done with them."""

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
    """`more`: `file` of the records, `topic`, and the producer's `properties` that are looked at."""
    watch = Stopwatch(task.records, task.warm)
    kafka = {**Environment.load().kafka(ADMIN), "log_level": 3}
    (_written if side == "write" else _read)(kafka, task.more, watch)
    return watch.run


def _written(kafka: dict[str, Any], more: Any, watch: Stopwatch) -> None:
    records = log.load(Path(more["file"]))
    queue = {"enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
    producer = Producer({**kafka, **more["properties"], **queue, "partitioner": "murmur2_random"})
    for start in range(0, len(records), _PART):
        for each in records[start : start + _PART]:
            producer.produce(more["topic"], each.value, each.key)
        producer.poll(0)
        last = start + _PART >= len(records)
        if last and producer.flush(_DEADLINE_S):
            raise RuntimeError("the broker did not take all records")
        watch.add(min(_PART, len(records) - start))


def _read(kafka: dict[str, Any], more: Any, watch: Stopwatch) -> None:
    """From the beginning: every round has written the same."""
    settings = PipelineSettings()
    reader = Consumer(consumer_properties(kafka, "mesh.bench.written", "mesh.bench.written", settings))
    known = reader.list_topics(more["topic"], timeout=_DEADLINE_S).topics[more["topic"]].partitions
    reader.assign([TopicPartition(more["topic"], number, 0) for number in known])
    while not watch.done:
        watch.add(len(reader.consume(settings.batch_records_max, 0.5)))
    reader.close()
