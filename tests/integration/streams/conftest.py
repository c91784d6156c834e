"""Topics of a test's own, and workers of the toy steps on a real broker."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from infra.environment import Environment
from schemas.tables import table_from_rows
from schemas.topics import command_topic, dlq_state_topic, dlq_topic
from streams.kafka_clients import KafkaClients, reader_properties
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.driver import SEALER
from tests.unit.streams import toys

DEADLINE_S = 60.0
_NUMBERS = itertools.count()


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Returns when the condition holds; the condition itself must wait for something."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"


@dataclass
class Broker:
    """A broker, by its administrator, with names that no other test has."""

    connection: dict[str, Any]
    prefix: str = field(default_factory=lambda: f"t{os.getpid()}-{next(_NUMBERS)}")

    def __post_init__(self) -> None:
        """One client for all that is asked."""
        self.admin = AdminClient(self.connection)

    def create(self, *topics: str, partitions: int = 1, compacted: bool = False) -> None:
        """Makes topics; gone with the broker."""
        config = {"cleanup.policy": "compact"} if compacted else {}
        made = self.admin.create_topics([NewTopic(each, partitions, 1, config=config) for each in topics])
        for done in made.values():
            done.result(DEADLINE_S)
        wait_until(
            "topics are known", lambda: set(topics) <= self.admin.list_topics(timeout=10).topics.keys()
        )

    def create_aside(self, kind: str, partitions: int = 1) -> None:
        """Makes the topics of what a step sets aside."""
        name = self.name(kind)
        self.create(dlq_topic(name), command_topic(name))
        self.create(dlq_state_topic(name), partitions=partitions, compacted=True)

    def write(self, topic: str, records: list[tuple[str | None, bytes | None]], partition: int = -1) -> None:
        """Writes records, and waits for their arrival."""
        producer = Producer({**self.connection, "partitioner": "murmur2_random"})
        for key, value in records:
            producer.produce(topic, value, key, partition)
        assert producer.flush(DEADLINE_S) == 0

    def read(self, topic: str) -> list[Any]:
        """All committed records there are."""
        reader = Consumer(reader_properties(self.connection, f"{self.prefix}-reader"))
        known = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
        reader.assign([TopicPartition(topic, number, 0) for number in known])
        ended, found = set[int | None](), list[Any]()

        def read() -> bool:
            for message in reader.consume(1_000, 0.2):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
            return ended == set(known)

        wait_until(f"the end of {topic}", read)
        reader.close()
        return found

    def rows(self, topic: str, schema: str) -> list[dict[str, Any]]:
        """All committed records, decoded."""
        values = [message.value() for message in self.read(topic)]
        rows: list[dict[str, Any]] = toys.CODEC.decode(schema, values).table.to_pylist()
        return rows

    def step(self, kind: str) -> Step:
        """A toy step with topics and group of this test's own."""
        found = next(each for each in toys.steps() if each.name == kind)
        inputs = [f"^{self.prefix}-in\\."] if kind == "double" else [f"{self.prefix}-item"]
        return Step(self.name(kind), inputs, lambda topic: "item", Renamed(found.processor, self.prefix))

    def name(self, kind: str) -> str:
        """The step's name."""
        return f"{self.prefix}-{kind}"

    def pipeline(self, kind: str, slot: int = 0, settings: Mapping[str, Any] | None = None) -> Pipeline:
        """A worker's pipeline, not started."""
        return pipeline(self.connection, self.step(kind), slot, settings)

    def feed(self, topic: str, amounts: list[tuple[str, int]], partition: int = -1) -> None:
        """Writes items."""
        self.write(topic, [(name, item(name, amount)) for name, amount in amounts], partition)


class Renamed:
    """A toy processor whose outputs have the test's prefix."""

    def __init__(self, inner: Any, prefix: str) -> None:
        self._inner, self._prefix = inner, prefix
        if hasattr(inner, "stores"):
            self.stores = inner.stores

    def process(self, *given: Any) -> Any:
        """As the toy, but for the topics' names."""
        result = self._inner.process(*given)
        outputs = [
            type(each)(f"{self._prefix}-{each.topic}", each.schema, each.table, each.key)
            for each in result.outputs
        ]
        return type(result)(outputs, result.poison)


def pipeline(
    connection: dict[str, Any], step: Step, slot: int, settings: Mapping[str, Any] | None = None
) -> Pipeline:
    """A pipeline with short waits."""
    made = PipelineSettings.model_validate(
        {"session_timeout_ms": 6_000, "linger_ms": 5, "poll_timeout_s": 0.2} | dict(settings or {})
    )
    clients = KafkaClients(connection, step.name, slot, made)
    return Pipeline(step, clients, Coding(toys.CODEC, SEALER), made, time.monotonic)


def item(name: str, amount: int) -> bytes:
    """A record of `item`, by a writer of its own."""
    table = table_from_rows("item", toys.items([(name, amount)]), toys.CATALOGUE)
    value: bytes = toys.CODEC.encode("item", table).to_pylist()[0]
    return value


@pytest.fixture
def broker(environment: Environment) -> Broker:
    """The broker of the session."""
    return Broker(dict(environment.kafka("admin")))
