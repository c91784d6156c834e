"""Attacks of one submitter on a running mesh: distant years, long texts, records that can't be decoded."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message, Producer

from infra.coding import codec
from schemas.tables import table_from_rows
from tests.integration.city.test_agencies import NOTICE, TOPIC, connection, exports
from tests.integration.city.test_dead_letters import dlq_list, run, wait_idle
from tests.integration.cluster import CONDITION_TIMEOUT_S, IntegrationCluster

UNDECODABLE = 300
DISTANT = {"effective_on": "2206-02-01", "recorded_on": "2206-02-01"}
YEAR_2206_MS = 7_449_667_200_000


def publish_raw(cluster: IntegrationCluster, *values: bytes, timestamp_ms: int = 0) -> list[tuple[int, int]]:
    """Publish values as the register's user; return the kind and the value of each record's timestamp."""
    properties = connection(exports(cluster, "juki.131130")) | {"message.max.bytes": 4_000_000}
    producer, stamps = Producer(properties), list[tuple[int, int]]()

    def delivered(error: object, message: Message) -> None:
        assert error is None
        stamps.append(message.timestamp())

    for value in values:
        producer.produce(TOPIC, value, timestamp=timestamp_ms, on_delivery=delivered)
    assert producer.flush(CONDITION_TIMEOUT_S) == 0
    return stamps


def encoded(cluster: IntegrationCluster, **fields: Any) -> bytes:
    """Return a notice of the register with some fields replaced."""
    coding = codec(cluster.environment, cluster.installation)
    value: bytes = coding.encode(
        "juki-notice", table_from_rows("juki-notice", [NOTICE | fields])
    ).to_pylist()[0]
    return value


def test_what_one_submitter_sends_stops_nobody(cluster: IntegrationCluster) -> None:
    """The broker sets the time of receipt; what is too far ahead or too long is listed by its number, and small.

    What can't be decoded is dismissed by one command, and what is right is applied.
    """
    cluster.start_empty()
    stamps = publish_raw(
        cluster,
        encoded(cluster, notice="distant", **DISTANT),
        encoded(cluster, notice="long", file="x" * 3_500_000),
        *(b"\xffno avro %d" % number for number in range(UNDECODABLE)),
        encoded(cluster, notice="A-z-0"),
        timestamp_ms=YEAR_2206_MS,
    )
    assert {kind for kind, _ in stamps} == {TIMESTAMP_LOG_APPEND_TIME}
    assert max(stamp for _, stamp in stamps) < 1_000 * (time.time() + 3_600)
    wait_idle(cluster)
    listed = [json.loads(line) for line in run(cluster, "rejected", "list", "--json").splitlines()]
    assert [(row["notice"], row["code"]) for row in listed] == [
        ("distant", "RECORDED_IN_FUTURE"),
        ("long", "TEXT_LONG"),
    ]
    assert [row["source"] for row in listed] == [TOPIC, TOPIC]
    assert len(run(cluster, "rejected", "list")) < 10_000
    assert [str(row["effective_on"]) for row in cluster.table("local_tax", "person")] == ["2026-02-01"]
    assert len(dlq_list(cluster)) == UNDECODABLE

    output = run(cluster, "dlq", "dismiss", "--all", "--step", "intake", "--reason", "an attack")
    assert output.startswith(f"{UNDECODABLE} dead letters of intake")
    wait_idle(cluster)
    assert {row["status"] for row in dlq_list(cluster)} == {"DISMISSED"}
    assert cluster.submissions_by_topic()["in.operator"] == 1
