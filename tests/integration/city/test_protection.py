"""Attack 7 on real servers: a replay publishes no address that the first run withheld."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from infra.coding import codec
from infra.store_contents import digest
from schemas.systems import DOMAINS
from schemas.topics import AUDITOR, disclosure_topic, domain_topic
from tests.integration.cluster import IntegrationCluster

HERE, THERE = "131041", "012033"
RESIDENTS = [f"4299000{number:04d}" for number in range(12)]
TIMEOUT_S = 30.0


def lines(municipality: str, code: str) -> Iterator[dict[str, Any]]:
    """Yield what a register submits of one resident: HERE protects and lets go, THERE takes in and moves within."""
    only: dict[str, Any] = {"code": code}
    person = {**only, "local_number": f"{municipality[:5]}9{code[-7:]}", "protected": False, "sex": "男"}
    person |= {"name": "試験　一郎", "kana": "シケン　イチロウ", "birth_date": "1980-05-05"}
    person |= {"relationship": "世帯主", "household": f"{municipality[:5]}9{code[-6:]}"}
    notices: list[tuple[str, str, dict[str, Any], dict[str, str]]]
    if municipality == HERE:
        notices = [
            ("初期登録", "2026-02-01", person | {"address": "東京都新宿区四谷1丁目1番1号"}, {}),
            ("支援措置開始", "2026-02-10", only, {}),
            ("転出", "2026-02-20", only, {"moved_to": THERE}),
        ]
    else:
        moved_in = person | {"address": f"秘密の町{code[-4:]}番"}
        notices = [
            ("転入", "2026-02-20", moved_in, {"moved_from": HERE}),
            ("転居", "2026-02-25", only | {"address": "秘密の町二丁目"}, {}),
        ]
    for number, (reason, day, given, others) in enumerate(notices, 1):
        notice = {"notice": f"{municipality[:5]}-{number}{code[-4:]}", "municipality": municipality}
        yield notice | {
            "reason": reason,
            "effective_on": day,
            "recorded_on": day,
            "persons": [given],
            **others,
        }


def write_notices(folder: Path, municipality: str) -> Path:
    """Write a register's notices of all residents, and return the file."""
    path = folder / f"notices_{municipality}.jsonl"
    rows = [json.dumps(line, ensure_ascii=False) for code in RESIDENTS for line in lines(municipality, code)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def records(cluster: IntegrationCluster, topic: str, schema: str) -> list[dict[str, Any]]:
    """Return all records of a topic, as the auditor reads them."""
    properties = {**cluster.environment.kafka(AUDITOR), "group.id": "protection-test"}
    consumer = Consumer({**properties, "enable.partition.eof": True, "isolation.level": "read_committed"})
    numbers = consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    values, open_partitions = [], set(numbers)
    deadline = time.monotonic() + TIMEOUT_S
    while open_partitions:
        assert time.monotonic() < deadline, topic
        for message in consumer.consume(100, 0.2):
            error = message.error()
            if error is None:
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
    consumer.close()
    decoded = codec(cluster.environment, cluster.installation).decode(schema, values)
    rows: list[dict[str, Any]] = decoded.table.to_pylist()
    return rows


def shown(cluster: IntegrationCluster) -> set[tuple[str, str]]:
    """Return all addresses that were ever published, by domain."""
    return {
        (domain.id, row["person"]["address"])
        for domain in DOMAINS.values()
        if domain.has_addresses
        for row in records(cluster, domain_topic(domain.id), domain.event)
        if row["person"] and row["person"]["address"] is not None
    }


@pytest.mark.proof
def test_a_replay_shows_no_address_that_was_withheld(cluster: IntegrationCluster, tmp_path: Path) -> None:
    """The measure was known when the residents moved; in a replay the moves may be read first."""
    enrolments = tmp_path / "enrolments.csv"
    rows = ["業務,市区町村コード,住民票コード,開始日", *(f"pension,,{code},2026-02-02" for code in RESIDENTS)]
    enrolments.write_text("\ufeff" + "\r\n".join(rows) + "\r\n", encoding="utf-8")
    cluster.start_empty(workers=1)
    for file in (enrolments, write_notices(tmp_path, HERE), write_notices(tmp_path, THERE)):
        cluster.ingest(file)
        cluster.wait_idle()
    assert not cluster.rejections()
    first, before = shown(cluster), digest(cluster.environment.dsn(AUDITOR))
    assert not any("秘密" in address for _, address in first)
    process = cluster.mesh("replay", "--yes")
    assert process.returncode == 0, process.stderr
    assert digest(cluster.environment.dsn(AUDITOR)) == before
    assert shown(cluster) <= first
    assert {row["address"] for row in cluster.table("pension", "person")} == {None}
    moments = [row["disclosed_at"] for row in records(cluster, disclosure_topic("pension"), "disclosure")]
    assert moments
    assert None not in moments
