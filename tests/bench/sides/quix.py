"""Household or fan-out by Quix Streams: exactly once, with its state (RocksDB and changelog) and the mesh's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from quixstreams import Application
from quixstreams.kafka.configuration import ConnectionConfig
from quixstreams.models import BytesDeserializer, BytesSerializer

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.local.kafka_server import ADMIN
from streams.settings import PipelineSettings
from tests.bench.side import Task
from tests.bench.sides.avro import Avro
from tests.bench.sides.rules import RULES
from tests.bench.timing import Run, Stopwatch

#: Topic, key and value.
_Output = tuple[str, bytes, bytes]


def run(step: str, task: Task) -> Run:
    """Run a step. Options: `prefix` of the topics to produce to, `outputs` (their names), `state` (folder)."""
    rules = RULES[step](Avro(Installation.of_settings()))
    watch, prefix = Stopwatch(task.records, task.warm_up), str(task.options["prefix"])
    settings = PipelineSettings()

    def count_message(topic: str, partition: int, offset: int) -> None:
        watch.record_batch(1)
        if watch.done:
            app.stop()

    app = Application(
        _connection(),
        consumer_group=f"bench.quix.{step}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        # As often as the mesh; by default Quix Streams commits every five seconds, whatever the number of records.
        commit_every=settings.batch_records_max,
        consumer_extra_config={"fetch.message.max.bytes": settings.batch_size_bytes},
        producer_extra_config={
            "linger.ms": settings.linger_ms,
            "batch.size": settings.batch_size_bytes,
            "compression.type": settings.compression_type,
            "partitioner": "murmur2_random",
        },
        state_dir=task.options["state"],
        on_message_processed=count_message,
        loglevel="WARNING",
    )

    def process(value: bytes, state: Any) -> Iterator[_Output]:
        yield from rules.process_encoded(value, rules.state(_State(state)))

    serializers: dict[str, Any] = {
        "key_serializer": BytesSerializer(),
        "key_deserializer": BytesDeserializer(),
        "value_deserializer": BytesDeserializer(),
    }
    inputs = app.topic(rules.input, value_serializer=BytesSerializer(), **serializers)
    outputs = {
        name: app.topic(prefix + name, value_serializer=_Value(), **serializers)
        for name in task.options["outputs"]
    }
    frame = app.dataframe(inputs).apply(process, stateful=True, expand=True)
    frame.to_topic(lambda output, key, timestamp, headers: outputs[output[0]], key=lambda output: output[1])
    app.run()
    return replace(watch.run, rules_s=rules.rules_s * watch.run.records / watch.done_records)


class _Value(BytesSerializer):  # type: ignore[misc]
    """Serializes the value of a tuple of topic, key and value."""

    def __call__(self, value: Any, ctx: Any) -> bytes:
        serialized: bytes = value[2]
        return serialized


class _State:
    """Quix Streams' state of a message's key, as a `ValueStore`."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def read(self, key: str) -> bytes | None:
        """Return the value, or None."""
        value: bytes | None = self._state.get_bytes(key)
        return value

    def write(self, key: str, value: bytes | None) -> None:
        """Set the value; None deletes it."""
        if value is None:
            self._state.delete(key)
        else:
            self._state.set_bytes(key, value)


def _connection() -> ConnectionConfig:
    kafka = Environment.load().kafka(ADMIN)
    return ConnectionConfig.from_librdkafka_dict(kafka)
