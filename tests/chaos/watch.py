"""An observer of every partition during a run: its records, its last stable offset, and the step's committed offset.

It uses consumers only: librdkafka's `AdminClient` aborts the whole process if a request is answered too late
(confluentinc/librdkafka#4605).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from psycopg import sql

from infra.environment import Environment
from infra.local.kafka_server import ADMIN, AUDITOR
from schemas.systems import DOMAINS
from schemas.topics import (
    NOTICE,
    PERSON_CHANGE,
    change_topic,
    domain_receipt_topic,
    domain_topic,
    group,
    topics_of,
)
from streams.clients import Partition
from streams.kafka_clients import reader_properties
from tests.chaos.stalls import OpenTransactionMonitor, Track, append_change
from tests.standard_level import STANDARD_DOMAINS

INTERVAL_S: Final = 0.25
REQUEST_TIMEOUT_S: Final = 2.0
SINK: Final = "sink"
#: Number of partitions whose last stable offset is queried in each pass: a query takes a request of its own.
CHECKED_PARTITIONS: Final = 6
FETCH_WAIT_MS: Final = 200


@dataclass(frozen=True)
class Sample:
    """Number of unprocessed records by step, at one moment of the monotonic clock."""

    at_s: float
    remaining: Mapping[str, int]


@dataclass
class Watch:
    """Observes partitions in three threads.

    `tracks` is by partition (each is read by one step), `open_transactions` measures blocked readers, and
    `unstable_commits` describes committed offsets beyond the last stable offset.
    """

    environment: Environment
    topics: Mapping[str, list[str]]
    tracks: dict[Partition, Track] = field(default_factory=dict)
    open_transactions: OpenTransactionMonitor = field(default_factory=OpenTransactionMonitor)
    unstable_commits: list[str] = field(default_factory=list)
    #: Set while a broker is paused: after the pause it answers as the leader that it was until it learns of the new
    #: one. Its last stable offset means nothing then, so it isn't queried.
    stale_broker: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _group_queries: list[tuple[float, float]] = field(default_factory=list)
    _store_queries: list[tuple[float, float]] = field(default_factory=list)

    def start(self, on_sample: Callable[[Sample], None] = lambda sample: None) -> None:
        """Start the threads; `on_sample` is called with each sample."""
        self._threads = [
            threading.Thread(target=self._run, args=[on_sample], name="watch", daemon=True),
            threading.Thread(target=self._run_stores, name="watch-stores", daemon=True),
            threading.Thread(target=self._run_reader, name="watch-reader", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads after their current pass."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10 * REQUEST_TIMEOUT_S)

    def _run(self, on_sample: Callable[[Sample], None]) -> None:
        consumers = {
            step: self._consumer(group(step), "read_uncommitted") for step in self.topics if step != SINK
        }
        stable_reader = self._consumer(ADMIN, "read_committed")
        partitions_by_step = self._partitions(stable_reader)
        while not self._stop.wait(INTERVAL_S):
            begun_s = time.monotonic()
            committed: dict[Partition, int] = {}
            for step, consumer in consumers.items():
                committed |= _group_offsets(consumer, partitions_by_step[step])
            self._record_committed(committed, begun_s, self._group_queries)
            self._check_stable(stable_reader)
            remaining = {
                step: sum(self._track(partition).remaining for partition in partitions)
                for step, partitions in partitions_by_step.items()
            }
            on_sample(Sample(begun_s, remaining))
        for consumer in (*consumers.values(), stable_reader):
            consumer.close()

    def _consumer(self, group_id: str, isolation: str) -> Consumer:
        """Return a consumer that joins no group.

        With `read_uncommitted` it doesn't wait for unstable offsets when it reads committed ones.
        """
        properties = reader_properties({**self.environment.kafka(ADMIN), "log_level": 0}, group_id)
        return Consumer(properties | {"isolation.level": isolation})

    def _run_stores(self) -> None:
        """Read the offsets of stores, in a thread of its own: a stalled database must not delay the other queries."""
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.wait(INTERVAL_S):
            begun_s = time.monotonic()
            try:
                connection = connection or connect(self.environment.dsn(AUDITOR))
                self._record_committed(dict(_store_offsets(connection)), begun_s, self._store_queries)
            except psycopg.Error:
                connection = None
        if connection is not None:
            connection.close()

    def _run_reader(self) -> None:
        """Consume committed records of all partitions like any reader, and keep only the offsets after them."""
        connection = {**self.environment.kafka(ADMIN), "log_level": 0, "client.id": "chaos.reader"}
        reader = Consumer(
            reader_properties(connection, ADMIN)
            | {
                "enable.partition.eof": False,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "statistics.interval.ms": int(1_000 * INTERVAL_S),
                "stats_cb": self._record_statistics,
            }
        )
        partitions = [partition for of_step in self._partitions(reader).values() for partition in of_step]
        reader.assign([TopicPartition(*partition, 0) for partition in partitions])
        while not self._stop.is_set():
            for message in reader.consume(1_000, 0.1):
                if message.error() is None:
                    partition = (str(message.topic()), int(message.partition() or 0))
                    end = int(message.offset() or 0) + 1
                    append_change(self._track(partition).record_ends, time.monotonic(), end)
        reader.close()

    def _record_statistics(self, statistics: str) -> None:
        """Record the end and the last stable offset of each partition, from the reader's last fetch responses."""
        now_s = time.monotonic()
        for topic, of_topic in orjson.loads(statistics)["topics"].items():
            for number, of_partition in of_topic["partitions"].items():
                end, stable = of_partition["hi_offset"], of_partition["ls_offset"]
                if int(number) >= 0 and end >= 0 and stable >= 0:
                    self.open_transactions.observe(now_s, (topic, int(number)), end, stable)

    def _partitions(self, consumer: Consumer) -> dict[str, list[Partition]]:
        known = consumer.list_topics(timeout=10).topics
        return {
            step: [(name, number) for name in names for number in known[name].partitions]
            for step, names in self.topics.items()
        }

    def _check_stable(self, stable_reader: Consumer) -> None:
        """Compare offsets committed so far with last stable offsets queried afterwards, which must not be lower."""
        if self.stale_broker.is_set():
            return
        committed = {
            partition: track.committed[-1].offset
            for partition, track in list(self.tracks.items())
            if track.committed
        }
        for partition in random.sample(sorted(committed), min(CHECKED_PARTITIONS, len(committed))):
            with suppress(KafkaException):
                _, stable = stable_reader.get_watermark_offsets(
                    TopicPartition(*partition), REQUEST_TIMEOUT_S, cached=False
                )
                if committed[partition] > stable and not self.stale_broker.is_set():
                    topic, number = partition
                    self.unstable_commits.append(
                        f"{committed[partition]} of {topic}/{number} was committed, {stable} was stable"
                    )

    def _record_committed(
        self, offsets: Mapping[Partition, int], begun_s: float, queries: list[tuple[float, float]]
    ) -> None:
        ended_s = time.monotonic()
        for partition, offset in offsets.items():
            track = self._track(partition)
            track.queries = queries
            append_change(track.committed, ended_s, offset)
        if offsets:
            queries.append((begun_s, ended_s))

    def _track(self, partition: Partition) -> Track:
        return self.tracks.setdefault(partition, Track())


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Return a connection for reading that fails within about two seconds if the server doesn't answer."""
    options = "-c statement_timeout=2000"
    return psycopg.connect(dsn, autocommit=True, connect_timeout=2, tcp_user_timeout=2_000, options=options)


def topics_by_step(municipalities: list[str]) -> dict[str, list[str]]:
    """Return the topics that each step reads."""
    return {
        "intake": [topic.name for topic in topics_of(municipalities) if topic.name.startswith("in.")],
        "household": [NOTICE],
        "fan-out": [PERSON_CHANGE],
        "conversion": [*map(change_topic, DOMAINS), *map(domain_receipt_topic, STANDARD_DOMAINS)],
        SINK: [*map(domain_topic, DOMAINS)],
    }


def _group_offsets(consumer: Consumer, partitions: list[Partition]) -> dict[Partition, int]:
    """Return the offsets that the consumer's group has committed; empty if the broker doesn't answer in time."""
    with suppress(KafkaException):
        committed = consumer.committed(
            [TopicPartition(*partition) for partition in partitions], REQUEST_TIMEOUT_S
        )
        return {(tp.topic, tp.partition): max(0, tp.offset) for tp in committed if not tp.error}
    return {}


def _store_offsets(connection: psycopg.Connection[Any]) -> Iterator[tuple[Partition, int]]:
    """Yield the offsets that sinks have committed in their stores."""
    for domain in DOMAINS.values():
        query = sql.SQL("SELECT topic, partition, next_offset FROM {}").format(
            sql.Identifier(domain.schema_name, "sink_offset")
        )
        for topic, number, offset in connection.execute(query).fetchall():
            yield (topic, number), offset
