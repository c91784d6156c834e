"""Size limits of submissions: a record over the limit is rejected before it is sent, with a clear message."""

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
    """Return the broker's properties; it has an input topic as `mesh apply` creates it."""
    properties = environment.kafka("admin")
    client = AdminClient(dict(properties))
    if TOPIC not in client.list_topics(timeout=TIMEOUT_S).topics:
        client.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(TIMEOUT_S)
    return properties


def end_offset(broker: Mapping[str, str], topic: str = TOPIC) -> int:
    """Return the end offset of partition 0."""
    partition = TopicPartition(topic, 0)
    client = AdminClient(dict(broker))
    futures = client.list_offsets({partition: OffsetSpec.latest()})  # type: ignore[no-untyped-call]
    return int(futures[partition].result(TIMEOUT_S).offset)


def notice_file(tmp_path: Path, address: str, rows: int = 1) -> Path:
    """Return a file with one submission of `rows` persons."""
    columns = "13104-1,131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001"
    lines = [HEADER, *(f"{n},{columns},{n:011},,,,,,{address},,,," for n in range(rows))]
    path = tmp_path / "juki_131041.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    return path


def test_a_line_or_submission_over_the_limit_is_rejected_with_its_file(
    broker: Mapping[str, str], tmp_path: Path
) -> None:
    """The limit is checked before anything of the file is published."""
    before = end_offset(broker)
    for address, rows in (("x" * 600_000, 1), ("x" * 10_000, 100)):
        with pytest.raises(FileLimitError, match="line 2"):
            ingest(
                JukiCsSource(notice_file(tmp_path, address, rows)), KafkaPublisher(lambda user: broker, CODEC)
            )
    assert end_offset(broker) == before


def test_the_longest_submission_fits_the_limits_of_all_steps(
    broker: Mapping[str, str], tmp_path: Path
) -> None:
    """Whatever it has, its record is smaller than the limits of sources, steps and brokers, which increase."""
    before = end_offset(broker)
    longest = notice_file(tmp_path, "\N{CJK UNIFIED IDEOGRAPH-6771}" * 170_000)
    ingest(JukiCsSource(longest), KafkaPublisher(lambda user: broker, CODEC))
    assert end_offset(broker) == before + 1
    assert PublishSettings().record_bytes_max < PipelineSettings().record_bytes_max < RECORD_BYTES_MAX


def test_a_record_over_the_limit_is_not_sent(broker: Mapping[str, str], tmp_path: Path) -> None:
    """The error names topic, size and limit."""
    before = end_offset(broker)
    publisher = KafkaPublisher(lambda user: broker, CODEC, PublishSettings(record_bytes_max=2_000))
    message = rf"{TOPIC}: a submission of \d,\d+ bytes is larger than a record may be \(2,000\)"
    with pytest.raises(NotDeliveredError, match=message):
        ingest(JukiCsSource(notice_file(tmp_path, "x" * 5_000)), publisher)
    assert end_offset(broker) == before


def test_the_broker_enforces_the_limit_for_other_clients(broker: Mapping[str, str]) -> None:
    """Whatever limit a client sets itself: the broker rejects a record that no step could process."""
    topic = f"in.test-{uuid4()}"
    client = AdminClient(dict(broker))
    config = {"max.message.bytes": str(RECORD_BYTES_MAX)}
    client.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(TIMEOUT_S)
    errors: list[KafkaError | None] = []
    without_limit = {"message.max.bytes": 100_000_000, "compression.type": "none"}
    producer = Producer({**broker, **without_limit, "on_delivery": lambda error, _: errors.append(error)})
    for size in (RECORD_BYTES_MAX + 1, 1_000):
        producer.produce(topic, b"\0" * size)
        producer.flush(TIMEOUT_S)
    assert [error and error.code() for error in errors] == [KafkaError.MSG_SIZE_TOO_LARGE, None]
    assert end_offset(broker, topic) == 1
    with pytest.raises(KafkaException):
        Producer(dict(broker)).produce(topic, b"\0" * (RECORD_BYTES_MAX + 1))
