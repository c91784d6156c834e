"""Access to the topics of a benchmark: create, fill, read, and measure on disk."""

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
from infra.monitoring.groups import describe_groups
from schemas.topics import group
from streams.kafka_clients import end_offsets, reader_properties

DEADLINE_S: Final = 120.0
#: Settings of the mesh's own producers: consumers then read batches of the same size and compression.
_PRODUCER_SETTINGS: Final = {
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 524_288,
}
#: Records of several topics in a file; `partition` is the one it was read from, or -1.
RECORD_SCHEMA: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("timestamp_ms", pa.int64()),
    ]
)


class PreparedRecord(NamedTuple):
    """A record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0
    partition: int = -1


class Log:
    """The topics of the brokers, accessed as their administrator."""

    def __init__(self, environment: Environment) -> None:
        self._kafka: dict[str, Any] = {**environment.kafka(ADMIN), "log_level": 0}
        self._admin = AdminClient(self._kafka)

    def create(self, topics: Iterable[str], partitions: int) -> None:
        """Create the topics that don't exist."""
        known = self._admin.list_topics(timeout=30).topics.keys()
        new = [NewTopic(topic, partitions, 1) for topic in topics if topic not in known]
        for future in self._admin.create_topics(new).values() if new else ():
            future.result(DEADLINE_S)

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Raise a topic's partitions to `partitions` and wait until they exist. Keys then map to other partitions."""
        new = NewPartitions(topic, partitions)
        self._admin.create_partitions([new])[topic].result(DEADLINE_S)
        _wait(
            lambda: self.partitions(topic) == partitions,
            f"{topic} still doesn't have {partitions} partitions",
        )

    def partitions(self, topic: str) -> int:
        """Return the number of a topic's partitions."""
        return len(self._admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def wait_until_empty(self, step: str) -> None:
        """Wait until a step's group has no member: a static member stays in it until its session ends."""
        _wait(
            lambda: not describe_groups(self._admin, [group(step)])[group(step)].members,
            f"the group of {step} still has members",
        )

    def skip_to_end(self, step: str, topic: str) -> None:
        """Set a step's committed offsets of a topic to the end. None of its workers may run."""
        self.wait_until_empty(step)
        partitions = [(topic, number) for number in range(self.partitions(topic))]
        ends = end_offsets(self._admin, partitions, DEADLINE_S)
        offsets = ConsumerGroupTopicPartitions(
            group(step), [TopicPartition(*partition, end) for partition, end in ends.items()]
        )
        self._admin.alter_consumer_group_offsets([offsets])[group(step)].result(DEADLINE_S)

    def produce(self, records: Iterable[PreparedRecord]) -> None:
        """Produce records and wait until the broker has them. Raise RuntimeError if it rejects any."""
        errors: list[KafkaError] = []
        producer = Producer(
            {
                **self._kafka,
                **_PRODUCER_SETTINGS,
                "on_delivery": lambda error, _: errors.append(error) if error else None,
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
        if producer.flush(DEADLINE_S) or errors:
            raise RuntimeError(
                f"the broker rejected records or did not acknowledge all in time: {errors[:1]}"
            )

    @contextmanager
    def publisher(self) -> Iterator[Callable[[Sequence[PreparedRecord], float], None]]:
        """Yield a function that publishes records and then waits up to so many seconds for the client.

        At the end of the context all records have arrived.
        """
        producer = Producer({**self._kafka, **_PRODUCER_SETTINGS, "linger.ms": 5})

        def publish(records: Sequence[PreparedRecord], wait_s: float) -> None:
            for topic, key, value, timestamp_ms, partition in records:
                producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
            producer.flush(wait_s)

        yield publish
        if producer.flush(DEADLINE_S):
            raise RuntimeError("the broker rejected records or did not acknowledge all in time")

    def read(self, *topics: str) -> list[PreparedRecord]:
        """Return all committed records of these topics."""
        reader = Consumer(reader_properties(self._kafka, "mesh.bench.reader"))
        partitions = {(topic, number) for topic in topics for number in range(self.partitions(topic))}
        reader.assign([TopicPartition(topic, number, 0) for topic, number in partitions])
        records: list[PreparedRecord] = []
        ended: set[tuple[str, int]] = set()
        deadline = time.monotonic() + DEADLINE_S
        while ended != partitions:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not read to the end in {DEADLINE_S:.0f} s: {', '.join(topics)}")
            for message in reader.consume(10_000, 0.2):
                topic, number, error = message.topic() or "", message.partition() or 0, message.error()
                if error is None:
                    records.append(
                        PreparedRecord(topic, message.key(), message.value(), message.timestamp()[1], number)
                    )
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add((topic, number))
        reader.close()
        return records


def _wait(condition: Callable[[], bool], message: str) -> None:
    """Wait until `condition` is true. Raise RuntimeError with `message` if it isn't within DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(message)
        time.sleep(0.2)


def save(file: Path, records: Sequence[PreparedRecord]) -> None:
    """Write records to a file that `load` reads."""
    columns = {name: [getattr(record, name) for record in records] for name in RECORD_SCHEMA.names}
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, RECORD_SCHEMA) as writer:
        writer.write_table(pa.table(columns, schema=RECORD_SCHEMA))


def load(file: Path) -> list[PreparedRecord]:
    """Return the records of a file."""
    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
        columns = [table.column(name).to_pylist() for name in PreparedRecord._fields]
    return [PreparedRecord(*row) for row in zip(*columns, strict=True)]


def topic_bytes(home: Path, topic: str) -> int:
    """Return the size of a topic on the broker's disk, without indexes."""
    return sum(file.stat().st_size for file in _segments(home, topic))


def _segments(home: Path, topic: str) -> Iterator[Path]:
    for folder in (home / "kafka").rglob(f"{topic}-*"):
        if folder.is_dir() and folder.name.removeprefix(f"{topic}-").isdecimal():
            yield from folder.glob("*.log")
