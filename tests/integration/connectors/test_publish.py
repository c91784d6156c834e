"""Sources on a real broker: as their own user, whole files, in order, or nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.errors import BrokerUnavailableError, UnroutableError
from connectors.juki_cs import JukiCsSource
from connectors.juki_cs.csv_row import HEADER
from connectors.publish import KafkaPublisher, PublishSettings, ingest
from connectors.source import Route
from infra.environment import Environment
from tests.contract.sink_suite import CODEC

TIMEOUT_S = 30.0
TOPIC = "in.juki-cs.131041"
ROWS = 1_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Notices of one row each."""
    rest = "131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001,42990000011,,,,,,,,,,"
    lines = [HEADER, *(f"{n},13104-{n:06},{rest}" for n in range(ROWS))]
    path = tmp_path / "juki_131041.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    return path


@pytest.fixture
def administered(environment: Environment) -> Mapping[str, str]:
    """A user who may do everything, and the topic."""
    properties = environment.kafka("admin")
    client = AdminClient(dict(properties))
    if TOPIC not in client.list_topics(timeout=TIMEOUT_S).topics:
        client.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(TIMEOUT_S)
    return properties


def values_from(properties: Mapping[str, str], start: int, count: int) -> list[bytes | None]:
    reader = Consumer({**properties, "group.id": f"{uuid4()}"})
    reader.assign([TopicPartition(TOPIC, 0, start)])
    found: list[bytes | None] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(found) < count and time.monotonic() < deadline:
        found += [message.value() for message in reader.consume(count, 0.5)]
    reader.close()
    return found


def end(properties: Mapping[str, str]) -> int:
    reader = Consumer({**properties, "group.id": f"{uuid4()}"})
    high = reader.get_watermark_offsets(TopicPartition(TOPIC, 0), TIMEOUT_S)[1]
    reader.close()
    return high


def test_a_file_is_handed_over_in_its_order(administered: Mapping[str, str], file: Path) -> None:
    """As its own user, acknowledged when it is told; notice after notice, as they stand in the file."""
    asked: list[str] = []

    def connect(user: str) -> Mapping[str, str]:
        asked.append(user)
        return administered

    start = end(administered)
    summary = ingest(JukiCsSource(file), KafkaPublisher(connect, CODEC))
    assert (summary.hand_overs, summary.by_topic) == (ROWS, {TOPIC: ROWS})
    assert set(asked) == {"juki-cs.131041"}
    decoded = CODEC.decode("juki-cs-notice", values_from(administered, start, ROWS))
    assert decoded.table.column("line").to_pylist() == list(range(2, ROWS + 2))


def test_who_takes_no_part_hands_nothing_over(administered: Mapping[str, str], file: Path) -> None:
    """No such user, or no such topic: an error before anything is published."""

    def nobody(user: str) -> Mapping[str, str]:
        raise KeyError(user)

    start = end(administered)
    with pytest.raises(UnroutableError, match="131041 takes no part"):
        ingest(JukiCsSource(file), KafkaPublisher(nobody, CODEC))
    publisher = KafkaPublisher(lambda user: administered, CODEC)
    with pytest.raises(UnroutableError, match=r"in\.juki-cs\.462012"):
        publisher.prepare([Route("juki-cs", "131041"), Route("juki-cs", "462012")])
    assert end(administered) == start


def test_a_broker_that_is_away(administered: Mapping[str, str], file: Path) -> None:
    """An error of its own after the time that it was given."""
    away = {**administered, "bootstrap.servers": "127.0.0.1:1"}
    publisher = KafkaPublisher(lambda user: away, CODEC, PublishSettings(delivery_timeout_s=0.5))
    with pytest.raises(BrokerUnavailableError):
        ingest(JukiCsSource(file), publisher)
