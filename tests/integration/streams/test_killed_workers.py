"""Workers that die, are fenced, start and stop: no record is lost or doubled, and none is delayed for long."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topics import group, transactional_id
from streams.errors import FencedError, LostRecordsError
from streams.kafka_clients import end_offsets, producer_properties
from streams.lag import LagReader
from streams.settings import PipelineSettings
from streams.worker import ExitCode
from tests.integration.cluster import wait_until
from tests.integration.streams.broker import Broker, ProducerWrapper, WorkerProcess, process


def test_a_worker_killed_in_a_transaction_loses_and_doubles_nothing(
    broker: Broker, workers: list[WorkerProcess]
) -> None:
    """Its records and offsets are at the broker, uncommitted; the slot's next worker continues within seconds."""
    topic, _ = broker.create_total_topics()
    small = {"batch_records_max": 50}
    broker.write_items(topic, [(f"n{number % 10}", 1) for number in range(300)])
    dead = broker.start_worker(workers, "total", die_at=3, settings=small)
    assert dead.wait(60) == -signal.SIGKILL
    began = time.monotonic()
    restarted = broker.start_worker(workers, "total", settings=small)
    wait_until("all records are processed", lambda: broker.is_idle(topic))
    took_s = time.monotonic() - began
    restarted.terminate()
    assert restarted.wait(10) == ExitCode.STOPPED
    assert broker.sums() == {f"n{number}": list(range(1, 31)) for number in range(10)}
    # The open transaction would have blocked readers for 10 s if the next worker had not fenced it.
    assert took_s < 9, f"took {took_s} s"


def test_a_slot_that_stays_dead_is_taken_over_by_another(
    broker: Broker, workers: list[WorkerProcess]
) -> None:
    """Another slot continues with the committed state after the session timeout and the end of the transaction."""
    topic, _ = broker.create_total_topics()
    broker.write_items(topic, [(f"n{number % 10}", 1) for number in range(100)])
    dead = broker.start_worker(workers, "total", die_at=2, settings={"batch_records_max": 50})
    assert dead.wait(60) == -signal.SIGKILL
    broker.start_worker(workers, "total", slot=1)
    wait_until("all records are processed", lambda: broker.is_idle(topic))
    assert broker.sums() == {f"n{number}": list(range(1, 11)) for number in range(10)}


def test_partitions_are_spread_over_workers(
    broker: Broker, workers: list[WorkerProcess], tmp_path: Path
) -> None:
    """Of ten topics with one partition, two workers get five each; after the death of one, the other gets all."""
    topics = [f"{broker.prefix}-in.{number}" for number in range(10)]
    broker.create(*topics, f"{broker.prefix}-item")
    broker.create_dlq_topics("double")
    heartbeats = [tmp_path / f"{slot}.json" for slot in (0, 1)]
    for slot in (0, 1):
        broker.start_worker(workers, "double", slot=slot, heartbeat=str(heartbeats[slot]))

    def partitions() -> list[list[str]]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            workers[0].wait(0.2)
        return [orjson.loads(file.read_bytes())["partitions"] if file.exists() else [] for file in heartbeats]

    wait_until("five partitions each", lambda: sorted(map(len, partitions())) == [5, 5])
    assert sorted(name for names in partitions() for name in names) == [f"{topic}/0" for topic in topics]
    workers[1].kill()
    wait_until("the remaining worker has all ten", lambda: len(partitions()[0]) == 10)


def test_partitions_move_to_a_second_worker_with_their_state(
    broker: Broker, workers: list[WorkerProcess]
) -> None:
    """Records arrive meanwhile, and each counts once."""
    topic, _ = broker.create_total_topics(partitions=4)
    small = {"batch_records_max": 20}
    broker.write_items(topic, [(f"n{number % 20}", 1) for number in range(600)])
    broker.start_worker(workers, "total", settings=small)
    broker.start_worker(workers, "total", slot=1, settings=small)
    broker.write_items(topic, [(f"n{number % 20}", 1) for number in range(600)])
    wait_until("all records are processed", lambda: broker.is_idle(topic))
    broker.write_items(topic, [(f"n{number % 20}", 1) for number in range(20)])
    wait_until("all records are processed", lambda: broker.is_idle(topic))
    assert broker.sums() == {f"n{number}": list(range(1, 62)) for number in range(20)}


def test_the_next_worker_of_a_slot_fences_the_one_before(broker: Broker) -> None:
    """A batch of the fenced worker is never committed."""
    topic, _ = broker.create_total_topics()
    broker.write_items(topic, [("a", 1)])
    fenced = broker.pipeline("total")
    fenced.start()
    process(fenced)
    next_producer = {**broker.connection, "transactional.id": transactional_id(broker.step_name("total"), 0)}
    Producer(next_producer).init_transactions(30)
    broker.write_items(topic, [("a", 1)])
    with pytest.raises(FencedError):
        process(fenced)
    restarted = broker.pipeline("total")
    restarted.start()
    process(restarted)
    restarted.close()
    assert broker.sums() == {"a": [1, 2]}


def test_a_group_is_idle_behind_an_aborted_transaction_but_not_behind_an_open_one(broker: Broker) -> None:
    """The committed offset never reaches the end of the log: markers and aborted records follow it."""
    topic, _ = broker.create_total_topics(partitions=1)
    group_id = group(broker.step_name("total"))
    broker.write_items(topic, [("a", 1)])
    worker = broker.pipeline("total")
    worker.start()
    process(worker)
    other = Producer(producer_properties(broker.connection, f"{broker.prefix}-other", PipelineSettings()))
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(topic, b"never committed", b"a")
    other.flush(30)
    with LagReader(broker.connection) as lag_reader:
        assert not lag_reader.idle(group_id, [topic])
        other.abort_transaction(30)
        worker.run_once()
        # The coordinator answers a moment before the markers are in all partitions.
        wait_until("the group is idle", lambda: lag_reader.idle(group_id, [topic]))
        (lag,) = lag_reader.of_group(group_id, [topic]).values()
        assert (lag.remaining, lag.committed < lag.end) == (0, True)
        # The reader remembers that the group was idle; a new record must still count.
        broker.write_items(topic, [("a", 1)])
        assert not lag_reader.idle(group_id, [topic])
        process(worker)
        wait_until("the group is idle again", lambda: lag_reader.idle(group_id, [topic]))
    worker.close()


class StallingProducer(ProducerWrapper):
    """A producer that commits a batch only after the broker has aborted its transaction."""

    def __init__(self, inner: Any, broker: Broker) -> None:
        super().__init__(inner)
        self._broker = broker

    def before_commit(self) -> None:
        """Wait for the abort marker, which is one record more at the end of the log."""
        self.inner.flush(10)
        topic, admin = f"{self._broker.prefix}-total", AdminClient(self._broker.connection)

        def aborted() -> bool:
            return sum(end_offsets(admin, [(topic, 0), (topic, 1)], 10).values()) >= 2

        wait_until("the broker has aborted the transaction", aborted)


def test_the_records_of_a_timed_out_transaction_are_processed_once(broker: Broker) -> None:
    """The broker aborts a transaction that is open too long; the next worker processes its records again."""
    topic, _ = broker.create_total_topics()
    settings = {"transaction_timeout_ms": 2_000, "message_timeout_ms": 1_500}
    worker = broker.pipeline("total", settings=settings, wrap=lambda inner: StallingProducer(inner, broker))
    worker.start()
    wait_until(
        "state is restored",
        lambda: worker.run_once() == 0 and bool(worker.partitions) and not worker.restoring,
    )
    broker.write_items(topic, [("a", 1)])
    with pytest.raises(FencedError):
        process(worker)
    worker.close()
    restarted = broker.pipeline("total")
    restarted.start()
    process(restarted)
    restarted.close()
    assert broker.sums() == {"a": [1]}


def test_a_worker_stops_if_the_records_at_its_position_were_deleted(broker: Broker) -> None:
    """A committed offset that is no longer in the log is never replaced by another."""
    topic, _ = broker.create_total_topics(partitions=1)
    broker.write_items(topic, [("a", 1)])
    worker = broker.pipeline("total")
    worker.start()
    process(worker)
    worker.close()
    broker.write_items(topic, [("a", 1), ("a", 1), ("a", 1)])
    for future in broker.admin.delete_records([TopicPartition(topic, 0, 4)]).values():
        future.result(30)
    restarted = broker.pipeline("total")
    restarted.start()
    with pytest.raises(LostRecordsError):
        process(restarted)
    restarted.close()
