"""Topics of a benchmark: filled, read to their end, measured on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from infra.environment import Environment
from infra.local.kafka_server import ADMIN
from infra.monitoring.groups import groups
from schemas.topics import group
from streams.kafka_clients import end_offsets, reader_properties

DEADLINE_S: Final = 120.0
#: As our own producers have it: what is consumed was compressed in batches of that size.
_FEEDING: Final = {
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 524_288,
}
#: Records of several topics in a file; `partition` is where it stood, or -1.
PREPARED: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("timestamp_ms", pa.int64()),
    ]
)


class Prepared(NamedTuple):
    """A record to be produced."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0
    partition: int = -1


class Log:
    """The brokers, as their administrator."""

    def __init__(self, environment: Environment) -> None:
        self._kafka: dict[str, Any] = {**environment.kafka(ADMIN), "log_level": 0}
        self._admin = AdminClient(self._kafka)

    def create(self, topics: Iterable[str], partitions: int) -> None:
        """Makes topics; those that are there stay."""
        known = self._admin.list_topics(timeout=30).topics.keys()
        new = [NewTopic(each, partitions, 1) for each in topics if each not in known]
        for done in self._admin.create_topics(new).values() if new else ():
            done.result(DEADLINE_S)

    def widen(self, topic: str, partitions: int) -> None:
        """More partitions for a topic, and returns when they are there; keys find others from then on."""
        new = NewPartitions(topic, partitions)
        self._admin.create_partitions([new])[topic].result(DEADLINE_S)
        _wait(lambda: self.partitions(topic) == partitions, f"{topic} has not {partitions} partitions")

    def partitions(self, topic: str) -> int:
        """How many a topic has."""
        return len(self._admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def left(self, step: str) -> None:
        """Returns when a step's group has no member: static ones that are gone are so until their session ends."""
        _wait(
            lambda: not groups(self._admin, [group(step)])[group(step)].members,
            f"the group of {step} still has members",
        )

    def skip(self, step: str, topic: str) -> None:
        """A step goes on at the end of a topic; none of its workers runs."""
        self.left(step)
        there = [(topic, number) for number in range(self.partitions(topic))]
        ends = end_offsets(self._admin, there, DEADLINE_S)
        moved = ConsumerGroupTopicPartitions(
            group(step), [TopicPartition(*at, end) for at, end in ends.items()]
        )
        self._admin.alter_consumer_group_offsets([moved])[group(step)].result(DEADLINE_S)

    def feed(self, records: Iterable[Prepared]) -> None:
        """Writes records, and returns when the broker has them."""
        refused: list[KafkaError] = []
        producer = Producer(
            {
                **self._kafka,
                **_FEEDING,
                "on_delivery": lambda error, _: refused.append(error) if error else None,
            }
        )
        for number, (topic, key, value, timestamp_ms, partition) in enumerate(records):
            while True:
                try:
                    producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 10_000 == 0:
                producer.poll(0)
        if producer.flush(DEADLINE_S) or refused:
            raise RuntimeError(f"the broker did not take all records: {refused[:1]}")

    @contextmanager
    def publisher(self) -> Iterator[Callable[[Sequence[Prepared], float], None]]:
        """Publishes some records at a time, as they come, and serves the client for so long; all arrived at the end."""
        producer = Producer({**self._kafka, **_FEEDING, "linger.ms": 5})

        def publish(records: Sequence[Prepared], wait_s: float) -> None:
            for topic, key, value, timestamp_ms, partition in records:
                producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
            producer.flush(wait_s)

        yield publish
        if producer.flush(DEADLINE_S):
            raise RuntimeError("the broker did not take all records")

    def read(self, *topics: str) -> list[Prepared]:
        """All committed records of these topics, partition after partition."""
        reader = Consumer(reader_properties(self._kafka, "mesh.bench.reader"))
        wanted = {(each, number) for each in topics for number in range(self.partitions(each))}
        reader.assign([TopicPartition(topic, number, 0) for topic, number in wanted])
        found: list[Prepared] = []
        ended: set[tuple[str, int]] = set()
        deadline = time.monotonic() + DEADLINE_S
        while ended != wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{topics} could not be read to their end")
            for message in reader.consume(10_000, 0.2):
                topic, number, error = message.topic() or "", message.partition() or 0, message.error()
                if error is None:
                    found.append(
                        Prepared(topic, message.key(), message.value(), message.timestamp()[1], number)
                    )
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add((topic, number))
        reader.close()
        return found


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    """Asks the brokers until that is so. RuntimeError with `otherwise`: it never is."""
    deadline = time.monotonic() + DEADLINE_S
    while not until():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.2)


def save(file: Path, records: Sequence[Prepared]) -> None:
    """Records into a file that `load` reads."""
    columns = {name: [getattr(each, name) for each in records] for name in PREPARED.names}
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, PREPARED) as writer:
        writer.write_table(pa.table(columns, schema=PREPARED))


def load(file: Path) -> list[Prepared]:
    """The records of a file."""
    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
        columns = [table.column(name).to_pylist() for name in Prepared._fields]
    return [Prepared(*row) for row in zip(*columns, strict=True)]


def bytes_of(home: Path, topic: str) -> int:
    """What a topic takes on the broker's disk, indexes apart."""
    return sum(file.stat().st_size for file in _segments(home, topic))


def _segments(home: Path, topic: str) -> Iterator[Path]:
    for folder in (home / "kafka").rglob(f"{topic}-*"):
        if folder.is_dir() and folder.name.removeprefix(f"{topic}-").isdecimal():
            yield from folder.glob("*.log")
