"""After a death partitions go on soon, each as soon as it can."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.kafka_clients import consumer_properties, producer_properties
from streams.pipeline import Pipeline
from streams.settings import PipelineSettings
from tests.integration.figures import leave
from tests.integration.streams.conftest import Broker, wait_until
from tests.integration.streams.test_killed_workers import Worker, idle, made, start, sums, workers

__all__ = ["workers"]

PARTITIONS = 4
#: How long partitions that nobody holds may take, the join of the group included, on a machine busy with others.
SOON_S = 10.0


def held(broker: Broker, kind: str, topic: str, partition: int) -> Producer:
    """A dead worker's open transaction, with an offset of its group under way; nobody is in the group yet."""
    settings = PipelineSettings(transaction_timeout_ms=60_000)
    group = f"mesh.{broker.name(kind)}"
    member = Consumer(consumer_properties(broker.connection, group, f"{group}.dead", settings))
    dead = Producer(producer_properties(broker.connection, f"{group}.dead", settings))
    dead.init_transactions(30)
    dead.begin_transaction()
    dead.send_offsets_to_transaction(
        [TopicPartition(topic, partition, 1)], member.consumer_group_metadata(), 30
    )
    member.close()
    return dead


def turned(worker: Pipeline, records: int, timeout_s: float) -> None:
    """Turns until so many records are processed."""
    left = [records]

    def done() -> bool:
        left[0] -= worker.run_once()
        return left[0] <= 0

    wait_until(f"{records} records", done, timeout_s)


@pytest.mark.parametrize("kind", ["double", "total"])
def test_one_partition_that_is_held_keeps_no_other_waiting(broker: Broker, kind: str) -> None:
    """A dead worker's transaction holds one partition's offset: the others go on, and that one when it has ended."""
    topic, _ = made(broker, PARTITIONS)
    if kind == "double":
        topic = f"{broker.prefix}-in.x"
        broker.create(topic, partitions=PARTITIONS)
        broker.create_aside(kind, PARTITIONS)
    for number in range(PARTITIONS):
        broker.feed(topic, [(f"n{number}", 1), (f"n{number}", 1)], number)
    dead = held(broker, kind, topic, 0)
    worker = broker.pipeline(kind)
    worker.start()
    turned(worker, 2 * (PARTITIONS - 1), SOON_S)
    assert worker.partitions == [(topic, number) for number in range(1, PARTITIONS)]
    assert worker.restoring, "the one that waits is told"
    broker.feed(topic, [("n1", 1)], 1)
    turned(worker, 1, SOON_S)
    assert worker.run_once() == 0, "its records are not touched before its offset is known"
    dead.abort_transaction(30)
    turned(worker, 2, SOON_S)
    assert worker.partitions == [(topic, number) for number in range(PARTITIONS)]
    assert not worker.restoring
    worker.close()
    out = "total" if kind == "total" else "item"
    told = [
        (row["name"], row.get("sum", row.get("amount"))) for row in broker.rows(f"{broker.prefix}-{out}", out)
    ]
    each = [1, 2] if kind == "total" else [2, 2]
    more = [3] if kind == "total" else [2]
    expected = [(f"n{number}", value) for number in range(PARTITIONS) for value in each]
    assert sorted(told) == sorted(expected + [("n1", value) for value in more])


def test_a_partition_that_is_held_and_goes_is_forgotten(broker: Broker) -> None:
    """It is the next owner's to wait for."""
    topic, _ = made(broker, 1)
    broker.feed(topic, [("a", 1)])
    dead = held(broker, "total", topic, 0)
    first = broker.pipeline("total")
    first.start()
    wait_until("it is held", lambda: bool(first._assignment.initializing or first.run_once()), SOON_S)
    first.close()
    assert not first._assignment.initializing
    dead.abort_transaction(30)
    again = broker.pipeline("total")
    again.start()
    turned(again, 1, SOON_S)
    again.close()


def test_another_slot_takes_over_in_time(broker: Broker, workers: list[Worker], tmp_path: Path) -> None:
    """Within one and a half times the session's timeout, though the dead one left a transaction open."""
    topic, out = made(broker, PARTITIONS)
    session_s = PipelineSettings().session_timeout_ms / 1_000
    settings = {"session_timeout_ms": PipelineSettings().session_timeout_ms, "batch_records_max": 20}
    beats = [tmp_path / f"{slot}.json" for slot in (0, 1)]
    start(workers, broker, "total", die_at=2, settings=settings, heartbeat=str(beats[0]))
    start(workers, broker, "total", slot=1, settings=settings, heartbeat=str(beats[1]))

    def shared() -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            workers[0].wait(0.2)
        held_by = [orjson.loads(beat.read_bytes())["partitions"] for beat in beats if beat.exists()]
        return list(map(len, held_by)) == [2, 2]

    wait_until("two partitions each", shared)
    broker.feed(topic, [(f"n{number % 20}", 1) for number in range(200)])
    assert workers[0].wait(60) == -signal.SIGKILL
    died = time.monotonic()
    wait_until("all processed", lambda: idle(broker, topic))
    took_s = time.monotonic() - died
    leave("takeover", session_timeout_s=session_s, duration_s=round(took_s, 2))
    assert sums(broker, out) == {f"n{number}": list(range(1, 11)) for number in range(20)}
    assert took_s < 1.5 * session_s, f"took {took_s} s"
