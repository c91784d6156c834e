"""Household or fan-out by Quix Streams: exactly once, its own state (RocksDB and changelog), our rules and fold."""

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

_Told = tuple[str, bytes, bytes]


def run(step: str, task: Task) -> Run:
    """`more`: `prefix` of the topics produced to, `outputs` (their names), `state` (folder)."""
    rules = RULES[step](Avro(Installation.of_settings()))
    watch, prefix = Stopwatch(task.records, task.warm), str(task.more["prefix"])
    settings = PipelineSettings()

    def processed(topic: str, partition: int, offset: int) -> None:
        watch.add(1)
        if watch.done:
            app.stop()

    app = Application(
        _connection(),
        consumer_group=f"bench.quix.{step}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        # As large as our batches; by default it commits every five seconds, whatever their number.
        commit_every=settings.batch_records_max,
        consumer_extra_config={"fetch.message.max.bytes": settings.batch_size_bytes},
        producer_extra_config={
            "linger.ms": settings.linger_ms,
            "batch.size": settings.batch_size_bytes,
            "compression.type": settings.compression_type,
            "partitioner": "murmur2_random",
        },
        state_dir=task.more["state"],
        on_message_processed=processed,
        loglevel="WARNING",
    )

    def work(value: bytes, state: Any) -> Iterator[_Told]:
        yield from rules.encoded(value, rules.state(_State(state)))

    plain: dict[str, Any] = {
        "key_serializer": BytesSerializer(),
        "key_deserializer": BytesDeserializer(),
        "value_deserializer": BytesDeserializer(),
    }
    inputs = app.topic(rules.input, value_serializer=BytesSerializer(), **plain)
    outputs = {
        name: app.topic(prefix + name, value_serializer=_Value(), **plain) for name in task.more["outputs"]
    }
    frame = app.dataframe(inputs).apply(work, stateful=True, expand=True)
    frame.to_topic(lambda told, key, timestamp, headers: outputs[told[0]], key=lambda told: told[1])
    app.run()
    return replace(watch.run, folded_s=rules.folded_s * watch.run.records / watch.seen)


class _Value(BytesSerializer):  # type: ignore[misc]
    """The last of topic, key and value."""

    def __call__(self, value: Any, ctx: Any) -> bytes:
        made: bytes = value[2]
        return made


class _State:
    """Quix Streams' state of a message's key, as values by key."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def read(self, key: str) -> bytes | None:
        """The value, or None."""
        found: bytes | None = self._state.get_bytes(key)
        return found

    def write(self, key: str, value: bytes | None) -> None:
        """Sets it; None forgets it."""
        if value is None:
            self._state.delete(key)
        else:
            self._state.set_bytes(key, value)


def _connection() -> ConnectionConfig:
    kafka = Environment.load().kafka(ADMIN)
    return ConnectionConfig.from_librdkafka_dict(kafka)
