"""Looks at every partition from outside, all the while: what is there, what is stable, what each step has committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from psycopg import sql

from infra.environment import Environment
from infra.local.kafka import ADMIN, AUDITOR
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
from streams.kafka import reader_properties
from tests.chaos.recovery import Held, Track

EVERY_S: Final = 0.25
REQUEST_TIMEOUT_S: Final = 2.0
SINK: Final = "sink"

#: A step, and one of its partitions.
Key = tuple[str, Partition]


@dataclass(frozen=True)
class Sample:
    """One look: records before each step."""

    at_s: float
    left: Mapping[str, int]


@dataclass
class Watch:
    """One thread. `tracks` by step and partition, `held` what open transactions held up, `ahead` reads too far."""

    environment: Environment
    topics: Mapping[str, list[str]]
    tracks: dict[Key, Track] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    samples: list[Sample] = field(default_factory=list)
    ahead: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    #: Offsets as the stores have them, by a thread of their own: a database that stands still holds up nothing else.
    _stored: dict[Key, int] = field(default_factory=dict)
    #: The offset after the last committed record that a reader was given.
    _given: dict[Partition, int] = field(default_factory=dict)

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

    def of_step(self, step: str) -> dict[Partition, Track]:
        """The partitions of a step."""
        return {partition: track for (owner, partition), track in list(self.tracks.items()) if owner == step}

    def _run(self, told: Callable[[Sample], None]) -> None:
        admin = AdminClient({**self.environment.kafka(ADMIN), "log_level": 0})
        partitions = self._partitions(admin)
        while not self._stop.wait(EVERY_S):
            told(self._look(admin, partitions))

    def _run_stores(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.wait(EVERY_S):
            try:
                connection = connection or connected(self.environment.dsn(AUDITOR))
                self._stored = dict(_in_stores(connection))
            except psycopg.Error:
                connection = None
        if connection is not None:
            connection.close()

    def _run_reader(self) -> None:
        """Reads committed records from everywhere, as any reader would; only where they stand is kept."""
        given = {**self.environment.kafka(ADMIN), "log_level": 0, "client.id": "chaos.reader"}
        reader = Consumer(reader_properties(given, ADMIN) | {"enable.partition.eof": False})
        topics = reader.list_topics(timeout=10).topics
        names = {name for names in self.topics.values() for name in names}
        reader.assign(
            [TopicPartition(name, number, 0) for name in sorted(names) for number in topics[name].partitions]
        )
        while not self._stop.is_set():
            for message in reader.consume(1_000, 0.1):
                if message.error() is None:
                    place = (str(message.topic()), int(message.partition() or 0))
                    self._given[place] = int(message.offset() or 0) + 1
        reader.close()

    def _partitions(self, admin: AdminClient) -> dict[str, list[Partition]]:
        known = admin.list_topics(timeout=10).topics
        return {
            step: [(name, number) for name in names for number in known[name].partitions]
            for step, names in self.topics.items()
        }

    def _look(self, admin: AdminClient, partitions: Mapping[str, list[Partition]]) -> Sample:
        at_s = time.monotonic()
        committed: dict[Key, int] = dict(self._stored)
        for step, places in partitions.items():
            if step != SINK:
                committed.update(
                    {(step, at): offset for at, offset in _of_group(admin, step, places).items()}
                )
        everywhere = sorted({place for places in partitions.values() for place in places})
        # Offsets first, ends afterwards: whoever is beyond the end that was stable later has read too far.
        stable = _ends(admin, everywhere, IsolationLevel.READ_COMMITTED)
        ends = _ends(admin, everywhere, IsolationLevel.READ_UNCOMMITTED)
        for place, end in ends.items():
            if place in stable:
                self.held.note(at_s, place, end, stable[place])
        for step, places in partitions.items():
            for place in places:
                self._note(at_s, (step, place), committed.get((step, place)), stable.get(place))
        sample = Sample(at_s, {step: sum(t.left for t in self.of_step(step).values()) for step in partitions})
        self.samples.append(sample)
        return sample

    def _note(self, at_s: float, key: Key, committed: int | None, stable: int | None) -> None:
        self.tracks.setdefault(key, Track()).note(at_s, committed, self._given.get(key[1]))
        if committed is not None and stable is not None and committed > stable:
            step, (topic, number) = key
            self.ahead.append(f"{step} is at {committed} of {topic}/{number}, where {stable} was stable")


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


def _of_group(admin: AdminClient, step: str, places: list[Partition]) -> dict[Partition, int]:
    asked = [ConsumerGroupTopicPartitions(group(step), [TopicPartition(*place) for place in places])]
    with suppress(KafkaException, TimeoutError):
        told = admin.list_consumer_group_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
        found = told[group(step)].result(REQUEST_TIMEOUT_S).topic_partitions
        return {(each.topic, each.partition): max(0, each.offset) for each in found or () if not each.error}
    return {}


def _ends(admin: AdminClient, places: list[Partition], isolation: IsolationLevel) -> dict[Partition, int]:
    """Of those whose leader answers."""
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(*place): latest for place in places}
    found = {}
    told = admin.list_offsets(asked, isolation_level=isolation, request_timeout=REQUEST_TIMEOUT_S)
    for at, answer in told.items():
        with suppress(KafkaException, TimeoutError):
            found[at.topic, at.partition] = answer.result(REQUEST_TIMEOUT_S).offset
    return found


def _in_stores(connection: psycopg.Connection[Any]) -> Iterator[tuple[Key, int]]:
    for domain in DOMAINS.values():
        query = sql.SQL("SELECT topic, partition, next_offset FROM {}").format(
            sql.Identifier(domain.schema_name, "sink_offset")
        )
        for topic, number, offset in connection.execute(query).fetchall():
            yield (SINK, (topic, number)), offset
