"""Topics of a test's own on a real broker, and workers of the toy steps that use them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.tables import table_from_rows
from schemas.topics import command_topic, dlq_state_topic, dlq_topic, group, state_topic
from streams.kafka_clients import KafkaClients, reader_properties
from streams.lag import LagReader
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step
from streams.task import StreamTask
from streams.testing.driver import SEALER
from tests.integration.cluster import wait_until
from tests.unit.streams import addressed_toys, toys

DEADLINE_S = 60.0
_NUMBERS = itertools.count()

WorkerProcess = subprocess.Popen[bytes]


class ProducerWrapper:
    """A producer that passes every call on to `inner`; a subclass changes how batches are committed.

    A transaction without values is a barrier token (`streams.barrier`), not a batch.
    """

    def __init__(self, inner: Any) -> None:
        self.inner, self._is_batch = inner, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def produce(self, topic: str, value: bytes | None, *arguments: Any, **named: Any) -> None:
        """Pass a record on, and note whether it has a value."""
        self._is_batch = self._is_batch or value is not None
        self.inner.produce(topic, value, *arguments, **named)

    def commit_transaction(self, timeout: float) -> None:
        """Commit; call `before_commit` first if the transaction is a batch."""
        is_batch, self._is_batch = self._is_batch, False
        if is_batch:
            self.before_commit()
        self.inner.commit_transaction(timeout)

    def before_commit(self) -> None:
        """Do what the test requires before a batch is committed."""
        raise NotImplementedError


class WrappingClients(KafkaClients):
    """Real clients, except that `wrap` is applied to each producer."""

    wrap: Callable[[Any], Any] = staticmethod(lambda producer: producer)

    def producer(self) -> Any:
        """Return a new producer, wrapped."""
        return self.wrap(super().producer())


class PrefixedProcessor:
    """A toy processor whose output topics have the test's prefix."""

    def __init__(self, inner: Any, prefix: str) -> None:
        self._inner, self._prefix = inner, prefix
        if hasattr(inner, "stores"):
            self.stores = inner.stores

    def process(self, *arguments: Any) -> Any:
        """Return the toy's result with prefixed topics."""
        result = self._inner.process(*arguments)
        outputs = [replace(output, topic=f"{self._prefix}-{output.topic}") for output in result.outputs]
        return type(result)(outputs, result.poison)


@dataclass
class Broker:
    """A broker, used as its administrator, and names that no other test uses."""

    connection: dict[str, Any]
    prefix: str = field(default_factory=lambda: f"t{os.getpid()}-{next(_NUMBERS)}")

    def __post_init__(self) -> None:
        self.admin = AdminClient(self.connection)

    def create(self, *topics: str, partitions: int = 1, compacted: bool = False) -> None:
        """Create topics and wait until the broker lists them."""
        config = {"cleanup.policy": "compact"} if compacted else {}
        created = self.admin.create_topics(
            [NewTopic(topic, partitions, 1, config=config) for topic in topics]
        )
        for future in created.values():
            future.result(DEADLINE_S)
        wait_until(
            "topics are listed", lambda: set(topics) <= self.admin.list_topics(timeout=10).topics.keys()
        )

    def create_dlq_topics(self, kind: str, partitions: int = 1) -> None:
        """Create the topics of a step's dead-letter queue."""
        name = self.step_name(kind)
        self.create(dlq_topic(name), command_topic(name))
        self.create(dlq_state_topic(name), partitions=partitions, compacted=True)

    def create_total_topics(self, partitions: int = 2) -> tuple[str, str]:
        """Create all topics of the step `total`; return its input and its output topic."""
        topic, output = f"{self.prefix}-item", f"{self.prefix}-total"
        self.create(topic, output, partitions=partitions)
        self.create(self.changelog, partitions=partitions, compacted=True)
        self.create_dlq_topics("total", partitions)
        return topic, output

    @property
    def changelog(self) -> str:
        """The changelog of the step `total`."""
        return state_topic(self.step_name("total"), "sums")

    def write(self, topic: str, records: list[tuple[str | None, bytes | None]], partition: int = -1) -> None:
        """Write keys and values; return when the broker has them. Partition -1: by key."""
        producer = Producer({**self.connection, "partitioner": "murmur2_random"})
        for key, value in records:
            producer.produce(topic, value, key, partition)
        assert producer.flush(DEADLINE_S) == 0

    def write_items(self, topic: str, amounts: list[tuple[str, int]], partition: int = -1) -> None:
        """Write records of schema `item`, keyed by name."""
        self.write(topic, [(name, item(name, amount)) for name, amount in amounts], partition)

    def read(self, topic: str) -> list[Any]:
        """Return all committed records of a topic."""
        reader = Consumer(reader_properties(self.connection, f"{self.prefix}-reader"))
        partitions = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
        reader.assign([TopicPartition(topic, number, 0) for number in partitions])
        ended, records = set[int | None](), list[Any]()

        def read_to_the_end() -> bool:
            for message in reader.consume(1_000, 0.2):
                error = message.error()
                if error is None:
                    records.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
            return ended == set(partitions)

        wait_until(f"{topic} is read to its end", read_to_the_end)
        reader.close()
        return records

    def rows(self, topic: str, schema: str) -> list[dict[str, Any]]:
        """Return all committed records of a topic, decoded."""
        values = [message.value() for message in self.read(topic)]
        rows: list[dict[str, Any]] = toys.CODEC.decode(schema, values).table.to_pylist()
        return rows

    def sums(self) -> dict[str, list[int]]:
        """Return the sums that the steps `total` or `count-down` have published, by name."""
        sums: dict[str, list[int]] = {}
        for row in self.rows(f"{self.prefix}-total", "total"):
            sums.setdefault(row["name"], []).append(row["sum"])
        return sums

    def is_idle(self, topic: str, kind: str = "total") -> bool:
        """Return whether a step has processed every record of the topic. Takes the time of a request."""
        with LagReader(self.connection) as lag_reader:
            return lag_reader.idle(group(self.step_name(kind)), [topic])

    def step_name(self, kind: str) -> str:
        """Return the name of this test's own step."""
        return f"{self.prefix}-{kind}"

    def step(self, kind: str) -> Step:
        """Return a toy step with topics and a group of this test's own."""
        toy = next(step for step in [*toys.steps(), *addressed_toys.steps()] if step.name == kind)
        inputs = [
            f"^{self.prefix}-{each[1:]}" if each.startswith("^") else f"{self.prefix}-{each}"
            for each in toy.inputs
        ]
        processor = PrefixedProcessor(toy.processor, self.prefix)
        return Step(self.step_name(kind), inputs, lambda topic: "item", processor)

    def pipeline(
        self,
        kind: str,
        slot: int = 0,
        settings: Mapping[str, Any] | None = None,
        wrap: Callable[[Any], Any] | None = None,
    ) -> Pipeline:
        """Return a worker's pipeline with short timeouts, not started; `wrap` replaces its producers."""
        all_settings = PipelineSettings.model_validate(
            {"session_timeout_ms": 6_000, "linger_ms": 5, "poll_timeout_s": 0.2} | dict(settings or {})
        )
        step = self.step(kind)
        clients = WrappingClients(self.connection, step.name, slot, all_settings)
        if wrap:
            clients.wrap = wrap
        return Pipeline(step, clients, Coding(toys.CODEC, SEALER), all_settings, time.monotonic)

    def start_worker(self, workers: list[WorkerProcess], kind: str, **spec: Any) -> WorkerProcess:
        """Start a worker as a process (`run_worker` explains `spec`) and add it to `workers`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.streams.run_worker"],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        workers.append(process)
        assert process.stdin
        common = {"connection": self.connection, "prefix": self.prefix, "kind": kind, "slot": 0}
        process.stdin.write(orjson.dumps(common | spec))
        process.stdin.close()
        return process


def item(name: str, amount: int) -> bytes:
    """Return a record of schema `item`."""
    table = table_from_rows("item", toys.items([(name, amount)]), toys.CATALOGUE)
    value: bytes = toys.CODEC.encode("item", table).to_pylist()[0]
    return value


def process(*workers: Pipeline, records: int = 1, timeout_s: float = DEADLINE_S) -> None:
    """Run the workers in turns until they have processed `records` records."""
    processed = 0

    def run_once() -> bool:
        nonlocal processed
        processed += sum(worker.run_once() for worker in workers)
        return processed >= records

    wait_until(f"{records} records are processed", run_once, timeout_s)


def only_task(worker: Pipeline) -> StreamTask:
    """Return the state of a worker's only partition. The product has no other access to it: hence the private name."""
    (task,) = worker.tasks.values()
    return task
