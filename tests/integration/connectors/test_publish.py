"""Sources on a real broker: a file is published as its own user, completely and in order, or not at all."""

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
    """Return a file of notices of one row each."""
    columns = "131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001,42990000011,,,,,,,,,,"
    lines = [HEADER, *(f"{n},13104-{n:06},{columns}" for n in range(ROWS))]
    path = tmp_path / "juki_131041.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    return path


@pytest.fixture
def broker(environment: Environment) -> Mapping[str, str]:
    """Return the properties of a user who may do everything, on a broker that has the topic."""
    properties = environment.kafka("admin")
    client = AdminClient(dict(properties))
    if TOPIC not in client.list_topics(timeout=TIMEOUT_S).topics:
        client.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(TIMEOUT_S)
    return properties


def values_from(properties: Mapping[str, str], start: int, count: int) -> list[bytes | None]:
    """Return the values of `count` records from offset `start` on."""
    reader = Consumer({**properties, "group.id": f"{uuid4()}"})
    reader.assign([TopicPartition(TOPIC, 0, start)])
    values: list[bytes | None] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(values) < count and time.monotonic() < deadline:
        values += [message.value() for message in reader.consume(count, 0.5)]
    reader.close()
    return values


def end_offset(properties: Mapping[str, str]) -> int:
    """Return the end offset of partition 0."""
    reader = Consumer({**properties, "group.id": f"{uuid4()}"})
    high = reader.get_watermark_offsets(TopicPartition(TOPIC, 0), TIMEOUT_S)[1]
    reader.close()
    return high


def test_a_file_is_published_in_its_order(broker: Mapping[str, str], file: Path) -> None:
    """The submissions are published as the source's own user, acknowledged and in the order of the file."""
    users: list[str] = []

    def properties_of(user: str) -> Mapping[str, str]:
        users.append(user)
        return broker

    start = end_offset(broker)
    summary = ingest(JukiCsSource(file), KafkaPublisher(properties_of, CODEC))
    assert (summary.submissions, summary.by_topic) == (ROWS, {TOPIC: ROWS})
    assert set(users) == {"juki-cs.131041"}
    decoded = CODEC.decode("juki-cs-notice", values_from(broker, start, ROWS))
    assert decoded.table.column("line").to_pylist() == list(range(2, ROWS + 2))


def test_a_municipality_without_user_or_topic_publishes_nothing(
    broker: Mapping[str, str], file: Path
) -> None:
    """UnroutableError is raised before anything is published."""

    def without_users(user: str) -> Mapping[str, str]:
        raise KeyError(user)

    start = end_offset(broker)
    with pytest.raises(UnroutableError, match="131041 takes no part"):
        ingest(JukiCsSource(file), KafkaPublisher(without_users, CODEC))
    publisher = KafkaPublisher(lambda user: broker, CODEC)
    with pytest.raises(UnroutableError, match=r"in\.juki-cs\.462012"):
        publisher.prepare([Route("juki-cs", "131041"), Route("juki-cs", "462012")])
    assert end_offset(broker) == start


def test_an_unreachable_broker_is_an_error(broker: Mapping[str, str], file: Path) -> None:
    """BrokerUnavailableError is raised after the delivery timeout."""
    unreachable = {**broker, "bootstrap.servers": "127.0.0.1:1"}
    publisher = KafkaPublisher(lambda user: unreachable, CODEC, PublishSettings(delivery_timeout_s=0.5))
    with pytest.raises(BrokerUnavailableError):
        ingest(JukiCsSource(file), publisher)
