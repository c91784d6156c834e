"""Looks at every partition from outside, all the while: what is there, what is stable, what each step has committed.

By consumers alone: librdkafka's administrator aborts the whole process when a request of its is answered too late.
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
from tests.chaos.stalls import OpenTransactionMonitor, Track, note

EVERY_S: Final = 0.25
REQUEST_TIMEOUT_S: Final = 2.0
SINK: Final = "sink"
#: Of so many partitions a look asks for the last stable offset by itself.
ASKED: Final = 6
FETCH_WAIT_MS: Final = 200


@dataclass(frozen=True)
class Sample:
    """One look: records before each step."""

    at_s: float
    left: Mapping[str, int]


@dataclass
class Watch:
    """`tracks` by partition (one step reads each), `held` what open transactions held up, `ahead` reads too far."""

    environment: Environment
    topics: Mapping[str, list[str]]
    tracks: dict[Partition, Track] = field(default_factory=dict)
    held: OpenTransactionMonitor = field(default_factory=OpenTransactionMonitor)
    ahead: list[str] = field(default_factory=list)
    #: A broker that stood still answers as the leader that it was, until it hears of another: it is asked nothing then.
    doubtful: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _of_groups: list[tuple[float, float]] = field(default_factory=list)
    _of_stores: list[tuple[float, float]] = field(default_factory=list)

    def start(self, told: Callable[[Sample], None] = lambda sample: None) -> None:
        """Looks from now on; `told` is called with each sample."""
        self._threads = [
            threading.Thread(target=self._run, args=[told], name="watch", daemon=True),
            threading.Thread(target=self._run_stores, name="watch-stores", daemon=True),
            threading.Thread(target=self._run_reader, name="watch-reader", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends after the look at hand."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10 * REQUEST_TIMEOUT_S)

    def _run(self, told: Callable[[Sample], None]) -> None:
        consumers = {
            step: self._consumer(group(step), "read_uncommitted") for step in self.topics if step != SINK
        }
        asking = self._consumer(ADMIN, "read_committed")
        partitions = self._partitions(asking)
        while not self._stop.wait(EVERY_S):
            begun_s = time.monotonic()
            committed: dict[Partition, int] = {}
            for step, consumer in consumers.items():
                committed |= _committed(consumer, partitions[step])
            self._committed(committed, begun_s, self._of_groups)
            self._hold_to_stable(asking)
            left = {step: sum(self._track(p).left for p in places) for step, places in partitions.items()}
            told(Sample(begun_s, left))
        for consumer in (*consumers.values(), asking):
            consumer.close()

    def _consumer(self, group_id: str, isolation: str) -> Consumer:
        """It joins no group; as `read_uncommitted`, it isn't kept waiting for transactions that hold other offsets."""
        given = reader_properties({**self.environment.kafka(ADMIN), "log_level": 0}, group_id)
        return Consumer(given | {"isolation.level": isolation})

    def _run_stores(self) -> None:
        """By a thread of its own: a database that stands still holds up nothing else."""
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.wait(EVERY_S):
            begun_s = time.monotonic()
            try:
                connection = connection or connected(self.environment.dsn(AUDITOR))
                self._committed(dict(_in_stores(connection)), begun_s, self._of_stores)
            except psycopg.Error:
                connection = None
        if connection is not None:
            connection.close()

    def _run_reader(self) -> None:
        """Reads committed records from everywhere, as any reader would; only where they stand is kept."""
        given = {**self.environment.kafka(ADMIN), "log_level": 0, "client.id": "chaos.reader"}
        reader = Consumer(
            reader_properties(given, ADMIN)
            | {
                "enable.partition.eof": False,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "statistics.interval.ms": int(1_000 * EVERY_S),
                "stats_cb": self._statistics,
            }
        )
        reader.assign([TopicPartition(*place, 0) for of in self._partitions(reader).values() for place in of])
        while not self._stop.is_set():
            for message in reader.consume(1_000, 0.1):
                if message.error() is None:
                    place = (str(message.topic()), int(message.partition() or 0))
                    note(self._track(place).records, time.monotonic(), int(message.offset() or 0) + 1)
        reader.close()

    def _statistics(self, told: str) -> None:
        """What the reader's last answers said of each partition: its end, and up to where it is stable."""
        now_s = time.monotonic()
        for topic, found in orjson.loads(told)["topics"].items():
            for number, each in found["partitions"].items():
                if int(number) >= 0 and each["hi_offset"] >= 0 and each["ls_offset"] >= 0:
                    self.held.note(now_s, (topic, int(number)), each["hi_offset"], each["ls_offset"])

    def _partitions(self, consumer: Consumer) -> dict[str, list[Partition]]:
        known = consumer.list_topics(timeout=10).topics
        return {
            step: [(name, number) for name in names for number in known[name].partitions]
            for step, names in self.topics.items()
        }

    def _hold_to_stable(self, asking: Consumer) -> None:
        """Whoever has committed beyond the end that was stable afterwards has read too far."""
        if self.doubtful.is_set():
            return
        before = {
            place: track.committed[-1].offset for place, track in list(self.tracks.items()) if track.committed
        }
        for place in random.sample(sorted(before), min(ASKED, len(before))):
            with suppress(KafkaException):
                _, stable = asking.get_watermark_offsets(
                    TopicPartition(*place), REQUEST_TIMEOUT_S, cached=False
                )
                if before[place] > stable and not self.doubtful.is_set():
                    self.ahead.append(f"{before[place]} of {place[0]}/{place[1]}, where {stable} was stable")

    def _committed(
        self, offsets: Mapping[Partition, int], begun_s: float, looks: list[tuple[float, float]]
    ) -> None:
        ended_s = time.monotonic()
        for place, offset in offsets.items():
            track = self._track(place)
            track.looks = looks
            note(track.committed, ended_s, offset)
        if offsets:
            looks.append((begun_s, ended_s))

    def _track(self, place: Partition) -> Track:
        return self.tracks.setdefault(place, Track())


def connected(dsn: str) -> psycopg.Connection[Any]:
    """A reader's connection that doesn't wait long for a server that is away."""
    options = "-c statement_timeout=2000"
    return psycopg.connect(dsn, autocommit=True, connect_timeout=2, tcp_user_timeout=2_000, options=options)


def topics_by_step(municipalities: list[str]) -> dict[str, list[str]]:
    """What each step reads."""
    return {
        "intake": [topic.name for topic in topics_of(municipalities) if topic.name.startswith("in.")],
        "household": [NOTICE],
        "fan-out": [PERSON_CHANGE],
        "conversion": [*map(change_topic, DOMAINS), *map(domain_receipt_topic, DOMAINS)],
        SINK: [*map(domain_topic, DOMAINS)],
    }


def _committed(consumer: Consumer, places: list[Partition]) -> dict[Partition, int]:
    """What its group has committed; none where nobody answers in time."""
    with suppress(KafkaException):
        found = consumer.committed([TopicPartition(*place) for place in places], REQUEST_TIMEOUT_S)
        return {(each.topic, each.partition): max(0, each.offset) for each in found if not each.error}
    return {}


def _in_stores(connection: psycopg.Connection[Any]) -> Iterator[tuple[Partition, int]]:
    for domain in DOMAINS.values():
        query = sql.SQL("SELECT topic, partition, next_offset FROM {}").format(
            sql.Identifier(domain.schema_name, "sink_offset")
        )
        for topic, number, offset in connection.execute(query).fetchall():
            yield (topic, number), offset
