"""Workers that die, are fenced, come and go: nothing is lost, doubled or held up for long."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.errors import FencedError, LostRecordsError
from streams.kafka_clients import end_offsets, producer_properties
from streams.lag import LagReader
from streams.pipeline import Pipeline
from streams.settings import PipelineSettings
from streams.worker import ExitCode
from tests.integration.streams.conftest import Broker, wait_until

Worker = subprocess.Popen[bytes]


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Processes that end with the test."""
    started: list[Worker] = []
    yield started
    for process in started:
        process.kill()
        process.wait(10)


def start(workers: list[Worker], broker: Broker, kind: str, **spec: Any) -> Worker:
    """A worker as a process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.streams.run_worker"],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    workers.append(process)
    assert process.stdin
    told = {"connection": broker.connection, "prefix": broker.prefix, "kind": kind, "slot": 0} | spec
    process.stdin.write(orjson.dumps(told))
    process.stdin.close()
    return process


def made(broker: Broker, partitions: int = 2) -> tuple[str, str]:
    """Topics of the step `total`: its input and its output."""
    topic, out = f"{broker.prefix}-item", f"{broker.prefix}-total"
    broker.create(topic, out, partitions=partitions)
    broker.create(f"state.{broker.name('total')}.sums", partitions=partitions, compacted=True)
    broker.create_aside("total", partitions)
    return topic, out


def sums(broker: Broker, out: str) -> dict[str, list[int]]:
    """What was told, by name."""
    told: dict[str, list[int]] = {}
    for row in broker.rows(out, "total"):
        told.setdefault(row["name"], []).append(row["sum"])
    return told


def idle(broker: Broker, topic: str) -> bool:
    """Whether the step `total` has nothing left; looking takes its time, so nobody spins."""
    with LagReader(broker.connection) as progress:
        return progress.idle(f"mesh.{broker.name('total')}", [topic])


def test_killed_in_a_transaction_nothing_is_lost_or_doubled(broker: Broker, workers: list[Worker]) -> None:
    """Dead with records and offsets at the broker and no commit; the slot's next worker goes on within seconds."""
    topic, out = made(broker)
    small = {"batch_records_max": 50}
    names = [f"n{number % 10}" for number in range(300)]
    broker.feed(topic, [(name, 1) for name in names])
    dead = start(workers, broker, "total", die_at=3, settings=small)
    assert dead.wait(60) == -signal.SIGKILL
    begun = time.monotonic()
    again = start(workers, broker, "total", settings=small)
    wait_until("all processed", lambda: idle(broker, topic))
    took_s = time.monotonic() - begun
    again.terminate()
    assert again.wait(10) == ExitCode.STOPPED
    assert sums(broker, out) == {f"n{number}": list(range(1, 31)) for number in range(10)}
    # Its transaction would have blocked readers for 10 s, had the next worker not fenced it.
    assert took_s < 9, f"took {took_s} s"


def test_a_slot_that_stays_dead_is_taken_over_by_another(broker: Broker, workers: list[Worker]) -> None:
    """After the session's timeout, with the state as it was committed; the open transaction is waited out."""
    topic, out = made(broker)
    broker.feed(topic, [(f"n{number % 10}", 1) for number in range(100)])
    dead = start(workers, broker, "total", die_at=2, settings={"batch_records_max": 50})
    assert dead.wait(60) == -signal.SIGKILL
    start(workers, broker, "total", slot=1)
    wait_until("all processed", lambda: idle(broker, topic))
    assert sums(broker, out) == {f"n{number}": list(range(1, 11)) for number in range(10)}


def test_partitions_are_spread_over_workers(broker: Broker, workers: list[Worker], tmp_path: Path) -> None:
    """Ten topics of one partition: five each for two workers, none for nobody, and all for the one that stays."""
    topics = [f"{broker.prefix}-in.{number}" for number in range(10)]
    broker.create(*topics, f"{broker.prefix}-item")
    broker.create_aside("double")
    beats = [tmp_path / f"{slot}.json" for slot in (0, 1)]
    for slot in (0, 1):
        start(workers, broker, "double", slot=slot, heartbeat=str(beats[slot]))

    def partitions() -> list[list[str]]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            workers[0].wait(0.2)
        return [orjson.loads(beat.read_bytes())["partitions"] if beat.exists() else [] for beat in beats]

    wait_until("five partitions each", lambda: sorted(map(len, partitions())) == [5, 5])
    assert sorted(name for names in partitions() for name in names) == [f"{topic}/0" for topic in topics]
    workers[1].kill()
    wait_until("all ten with the one that stays", lambda: len(partitions()[0]) == 10)


def test_two_workers_share_state_by_partition(broker: Broker, workers: list[Worker]) -> None:
    """A second worker comes in the midst; partitions move with their state, and each record counts once."""
    topic, out = made(broker, partitions=4)
    small = {"batch_records_max": 20}
    broker.feed(topic, [(f"n{number % 20}", 1) for number in range(600)])
    start(workers, broker, "total", settings=small)
    start(workers, broker, "total", slot=1, settings=small)
    broker.feed(topic, [(f"n{number % 20}", 1) for number in range(600)])
    wait_until("all processed", lambda: idle(broker, topic))
    broker.feed(topic, [(f"n{number % 20}", 1) for number in range(20)])
    wait_until("all processed", lambda: idle(broker, topic))
    assert sums(broker, out) == {f"n{number}": list(range(1, 62)) for number in range(20)}


def test_the_next_worker_of_a_slot_fences_the_one_before(broker: Broker) -> None:
    """The zombie's batch never takes place."""
    topic, out = made(broker)
    broker.feed(topic, [("a", 1)])
    zombie = broker.pipeline("total")
    zombie.start()
    wait_until("a record", lambda: zombie.run_once() == 1)
    broker.pipeline("total", settings={"recovery_timeout_s": 30})._transactions.start()
    broker.feed(topic, [("a", 1)])
    with pytest.raises(FencedError):
        _turn_until_records(zombie)
    again = broker.pipeline("total")
    again.start()
    wait_until("a record", lambda: again.run_once() == 1)
    again.close()
    assert sums(broker, out) == {"a": [1, 2]}


def _turn_until_records(worker: Pipeline) -> None:
    wait_until("a turn with records", lambda: worker.run_once() > 0)


def test_an_aborted_transaction_last_is_idle_and_an_open_one_is_not(broker: Broker) -> None:
    """The committed offset never reaches the end: markers and aborted records stand behind it."""
    topic, _ = made(broker, partitions=1)
    group_id = f"mesh.{broker.name('total')}"
    broker.feed(topic, [("a", 1)])
    worker = broker.pipeline("total")
    worker.start()
    _turn_until_records(worker)
    stray = Producer(producer_properties(broker.connection, f"{broker.prefix}-stray", PipelineSettings()))
    stray.init_transactions(30)
    stray.begin_transaction()
    stray.produce(topic, b"never committed", b"a")
    stray.flush(30)
    with LagReader(broker.connection) as progress:
        assert not progress.idle(group_id, [topic])
        stray.abort_transaction(30)
        worker.run_once()
        # A transaction's end is answered a moment before it is marked everywhere.
        wait_until("it is idle", lambda: progress.idle(group_id, [topic]))
        (lag,) = progress.of_group(group_id, [topic]).values()
        assert (lag.remaining, lag.committed < lag.end) == (0, True)
        # Idle is remembered, and a new record still ends it.
        broker.feed(topic, [("a", 1)])
        assert not progress.idle(group_id, [topic])
        _turn_until_records(worker)
        wait_until("it is idle again", lambda: progress.idle(group_id, [topic]))
    worker.close()


def test_a_transaction_that_timed_out_is_made_again(broker: Broker) -> None:
    """The broker aborts a transaction that is open too long: its records come again under a new epoch, once."""
    topic, out = made(broker)
    worker = broker.pipeline("total", settings={"transaction_timeout_ms": 2_000, "message_timeout_ms": 1_500})
    worker.start()
    wait_until("it is restored", lambda: worker.run_once() == 0 and settled(worker))
    broker.feed(topic, [("a", 1)])
    producer = worker._transactions._producer
    stalled = _Stalled(producer, broker, f"mesh.{broker.name('total')}.0")
    worker._transactions._current = stalled
    with pytest.raises(FencedError):
        _turn_until_records(worker)
    worker.close()
    again = broker.pipeline("total")
    again.start()
    _turn_until_records(again)
    again.close()
    assert sums(broker, out) == {"a": [1]}


def settled(worker: Pipeline) -> bool:
    """Whether it has partitions, and all that is kept of them."""
    return bool(worker.partitions) and not worker.restoring


class _Stalled:
    """A producer that stands still in its transaction until the broker has aborted it."""

    def __init__(self, inner: Any, broker: Broker, transactional_id: str) -> None:
        self._inner, self._broker, self._id = inner, broker, transactional_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit_transaction(self, timeout: float) -> None:
        """Commits when it is too late."""
        self._inner.flush(10)
        topic = f"{self._broker.prefix}-total"
        admin = AdminClient(self._broker.connection)

        def aborted() -> bool:
            # The abort's marker is one record more.
            at = end_offsets(admin, [(topic, 0), (topic, 1)], 10)
            return sum(at.values()) >= 2

        wait_until("the broker has aborted it", aborted)
        self._inner.commit_transaction(timeout)


def test_records_deleted_under_a_group_stop_its_worker(broker: Broker) -> None:
    """An offset that isn't in the log any more is never made up."""
    topic, _ = made(broker, partitions=1)
    broker.feed(topic, [("a", 1)])
    worker = broker.pipeline("total")
    worker.start()
    _turn_until_records(worker)
    worker.close()
    broker.feed(topic, [("a", 1), ("a", 1), ("a", 1)])
    for done in broker.admin.delete_records([TopicPartition(topic, 0, 4)]).values():
        done.result(30)
    again = broker.pipeline("total")
    again.start()
    with pytest.raises(LostRecordsError):
        _turn_until_records(again)
    again.close()
