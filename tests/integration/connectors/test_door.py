"""A record over the limit is refused at the door, whoever brings it, and said clearly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from connectors.errors import FileLimitError, NotDeliveredError
from connectors.juki_cs import JukiCsSource
from connectors.juki_cs.csv_row import HEADER
from connectors.publish import KafkaPublisher, PublishSettings, ingest
from infra.apply.plan import RECORD_BYTES_MAX
from infra.environment import Environment
from streams.settings import PipelineSettings
from tests.contract.sink_suite import CODEC

TIMEOUT_S = 30.0
TOPIC = "in.juki-cs.131041"


@pytest.fixture
def broker(environment: Environment) -> Mapping[str, str]:
    """The broker, with a topic of hand-overs as `mesh apply` makes it."""
    properties = environment.kafka("admin")
    client = AdminClient(dict(properties))
    if TOPIC not in client.list_topics(timeout=TIMEOUT_S).topics:
        client.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(TIMEOUT_S)
    return properties


def end(broker: Mapping[str, str], topic: str = TOPIC) -> int:
    """The offset after the last record."""
    at = TopicPartition(topic, 0)
    client = AdminClient(dict(broker))
    told = client.list_offsets({at: OffsetSpec.latest()})  # type: ignore[no-untyped-call]
    return int(told[at].result(TIMEOUT_S).offset)


def notice(tmp_path: Path, address: str, rows: int = 1) -> Path:
    """A file with one hand-over of so many persons."""
    rest = "13104-1,131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001"
    lines = [HEADER, *(f"{n},{rest},{n:011},,,,,,{address},,,," for n in range(rows))]
    path = tmp_path / "juki_131041.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    return path


def test_a_line_or_a_hand_over_that_is_too_long_is_no_record(
    broker: Mapping[str, str], tmp_path: Path
) -> None:
    """Found before anything of the file is published."""
    before = end(broker)
    for address, rows in (("x" * 600_000, 1), ("x" * 10_000, 100)):
        with pytest.raises(FileLimitError, match="line 2"):
            ingest(JukiCsSource(notice(tmp_path, address, rows)), KafkaPublisher(lambda user: broker, CODEC))
    assert end(broker) == before


def test_what_its_limit_lets_through_is_let_through_everywhere(
    broker: Mapping[str, str], tmp_path: Path
) -> None:
    """The longest hand-over, whatever it holds, is smaller than a record may be at the door and behind it."""
    before = end(broker)
    longest = notice(tmp_path, "\N{CJK UNIFIED IDEOGRAPH-6771}" * 170_000)
    ingest(JukiCsSource(longest), KafkaPublisher(lambda user: broker, CODEC))
    assert end(broker) == before + 1
    assert PublishSettings().record_bytes_max < PipelineSettings().record_bytes_max < RECORD_BYTES_MAX


def test_a_record_over_the_limit_is_not_sent(broker: Mapping[str, str], tmp_path: Path) -> None:
    """The error names topic, size and limit."""
    before = end(broker)
    publisher = KafkaPublisher(lambda user: broker, CODEC, PublishSettings(record_bytes_max=2_000))
    told = rf"{TOPIC}: a hand-over of \d,\d+ bytes is larger than a record may be \(2,000\)"
    with pytest.raises(NotDeliveredError, match=told):
        ingest(JukiCsSource(notice(tmp_path, "x" * 5_000)), publisher)
    assert end(broker) == before


def test_a_foreign_client_meets_the_brokers_limit(broker: Mapping[str, str]) -> None:
    """Whatever it allows itself: the broker refuses what no step of the mesh could carry on."""
    topic = f"in.test-{uuid4()}"
    client = AdminClient(dict(broker))
    config = {"max.message.bytes": str(RECORD_BYTES_MAX)}
    client.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(TIMEOUT_S)
    told: list[KafkaError | None] = []
    own = {"message.max.bytes": 100_000_000, "compression.type": "none"}
    producer = Producer({**broker, **own, "on_delivery": lambda error, _: told.append(error)})
    for size in (RECORD_BYTES_MAX + 1, 1_000):
        producer.produce(topic, b"\0" * size)
        producer.flush(TIMEOUT_S)
    assert [error and error.code() for error in told] == [KafkaError.MSG_SIZE_TOO_LARGE, None]
    assert end(broker, topic) == 1
    with pytest.raises(KafkaException):
        Producer(dict(broker)).produce(topic, b"\0" * (RECORD_BYTES_MAX + 1))
