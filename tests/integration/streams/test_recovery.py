"""After the death of a worker, each partition continues as soon as it can."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import group
from streams.kafka_clients import consumer_properties, producer_properties
from streams.settings import PipelineSettings
from tests.integration.cluster import wait_until
from tests.integration.figures import write_figures
from tests.integration.streams.broker import Broker, WorkerProcess, process

PARTITIONS = 4
#: Limit for partitions without an open transaction, the join of the group included, on a shared machine.
CONTINUES_MAX_S = 10.0


def open_transaction(broker: Broker, kind: str, topic: str, partition: int) -> Producer:
    """Return the producer of a dead worker: its open transaction has an offset of the group, which has no member."""
    settings = PipelineSettings(transaction_timeout_ms=60_000)
    group_id = group(broker.step_name(kind))
    member = Consumer(consumer_properties(broker.connection, group_id, f"{group_id}.dead", settings))
    producer = Producer(producer_properties(broker.connection, f"{group_id}.dead", settings))
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.send_offsets_to_transaction(
        [TopicPartition(topic, partition, 1)], member.consumer_group_metadata(), 30
    )
    member.close()
    return producer


@pytest.mark.parametrize("kind", ["double", "total"])
def test_a_partition_with_an_unstable_offset_delays_no_other(broker: Broker, kind: str) -> None:
    """The others continue at once; the one whose offset is in an open transaction continues when that has ended."""
    topic, _ = broker.create_total_topics(PARTITIONS)
    if kind == "double":
        topic = f"{broker.prefix}-in.x"
        broker.create(topic, partitions=PARTITIONS)
        broker.create_dlq_topics(kind, PARTITIONS)
    for number in range(PARTITIONS):
        broker.write_items(topic, [(f"n{number}", 1), (f"n{number}", 1)], number)
    dead = open_transaction(broker, kind, topic, 0)
    worker = broker.pipeline(kind)
    worker.start()
    process(worker, records=2 * (PARTITIONS - 1), timeout_s=CONTINUES_MAX_S)
    assert worker.partitions == [(topic, number) for number in range(1, PARTITIONS)]
    assert worker.restoring, "the worker reports that a partition waits"
    broker.write_items(topic, [("n1", 1)], 1)
    process(worker, timeout_s=CONTINUES_MAX_S)
    assert worker.run_once() == 0, "records were processed before their start offset was known"
    dead.abort_transaction(30)
    process(worker, records=2, timeout_s=CONTINUES_MAX_S)
    assert worker.partitions == [(topic, number) for number in range(PARTITIONS)]
    assert not worker.restoring
    worker.close()
    output = "total" if kind == "total" else "item"
    published = [
        (row["name"], row.get("sum", row.get("amount")))
        for row in broker.rows(f"{broker.prefix}-{output}", output)
    ]
    of_each_name = [1, 2] if kind == "total" else [2, 2]
    last_of_n1 = 3 if kind == "total" else 2
    expected = [(f"n{number}", value) for number in range(PARTITIONS) for value in of_each_name]
    assert sorted(published) == sorted([*expected, ("n1", last_of_n1)])


def test_an_initializing_partition_that_is_revoked_is_dropped(broker: Broker) -> None:
    """Its next owner waits for its offset."""
    topic, _ = broker.create_total_topics(1)
    broker.write_items(topic, [("a", 1)])
    dead = open_transaction(broker, "total", topic, 0)
    first = broker.pipeline("total")
    first.start()
    wait_until("it initializes", lambda: first.restoring or bool(first.run_once()), CONTINUES_MAX_S)
    first.close()
    assert not first.restoring
    dead.abort_transaction(30)
    restarted = broker.pipeline("total")
    restarted.start()
    process(restarted, timeout_s=CONTINUES_MAX_S)
    restarted.close()


def test_another_slot_takes_over_in_time(
    broker: Broker, workers: list[WorkerProcess], tmp_path: Path
) -> None:
    """It takes at most 1.5 × the session timeout, although the dead worker has left a transaction open."""
    topic, _ = broker.create_total_topics(PARTITIONS)
    session_s = PipelineSettings().session_timeout_ms / 1_000
    settings = {"session_timeout_ms": PipelineSettings().session_timeout_ms, "batch_records_max": 20}
    heartbeats = [tmp_path / f"{slot}.json" for slot in (0, 1)]
    broker.start_worker(workers, "total", die_at=2, settings=settings, heartbeat=str(heartbeats[0]))
    broker.start_worker(workers, "total", slot=1, settings=settings, heartbeat=str(heartbeats[1]))

    def two_each() -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            workers[0].wait(0.2)
        assigned = [orjson.loads(file.read_bytes())["partitions"] for file in heartbeats if file.exists()]
        return list(map(len, assigned)) == [2, 2]

    wait_until("two partitions each", two_each)
    broker.write_items(topic, [(f"n{number % 20}", 1) for number in range(200)])
    assert workers[0].wait(60) == -signal.SIGKILL
    died = time.monotonic()
    wait_until("all records are processed", lambda: broker.is_idle(topic))
    took_s = time.monotonic() - died
    write_figures("takeover", session_timeout_s=session_s, duration_s=round(took_s, 2))
    assert broker.sums() == {f"n{number}": list(range(1, 11)) for number in range(20)}
    assert took_s < 1.5 * session_s, f"took {took_s} s"
