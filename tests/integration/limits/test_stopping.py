"""Told to stop, a worker ends within ten seconds and cleanly, in whatever state it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.run.worker import PARENT_EVERY_S
from schemas.systems import DOMAINS
from schemas.topics import state_topic
from tests.integration.cluster import IntegrationCluster
from tests.integration.limits.conftest import Begin, Started, frozen
from tests.integration.limits.records import write

#: Within so long, as an operator's supervisor would have it; a second for the machine to notice.
STOP_S = 10.0
DOMAIN = DOMAINS["local-tax"]
WAITING = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
GARBAGE = [(None, b"no record of anybody's")] * 60_000


@contextmanager
def idle(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """In its group, nothing to do."""
    worker = begin("household")
    worker.until("it runs", lambda: worker.state == "running")
    yield worker


@contextmanager
def in_a_batch(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """One batch is done and many are left."""
    write(place, "in.juki-cs.012033", GARBAGE)
    worker = begin("intake", MESH_BATCH_RECORDS_MAX="2000")
    worker.until_told("batch.committed")
    yield worker


@contextmanager
def restoring(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """A changelog can't be read to its end, as somebody's transaction is open on it."""
    dead = Producer({**place.environment.kafka("admin"), "transactional.id": "mesh.test"})
    dead.init_transactions(30)
    dead.begin_transaction()
    dead.produce(state_topic("household", "notices"), b"never", b"never", 0)
    assert dead.flush(30) == 0
    worker = begin("household")
    worker.until("it restores", lambda: worker.state == "restoring")
    yield worker
    dead.abort_transaction(30)


@contextmanager
def unsettled(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """An offset to go on from is held by somebody's transaction."""
    connection = place.environment.kafka("admin")
    member = Consumer({**connection, "group.id": "mesh.conversion"})
    dead = Producer({**connection, "transactional.id": "mesh.test"})
    dead.init_transactions(30)
    dead.begin_transaction()
    dead.send_offsets_to_transaction(
        [TopicPartition("change.nta", 0, 0)], member.consumer_group_metadata(), 30
    )
    worker = begin("conversion")
    worker.until_told("partitions.waiting")
    yield worker
    dead.abort_transaction(30)
    member.close()


@contextmanager
def without_a_broker(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """It ran, and the broker doesn't answer any more."""
    with idle(place, begin) as worker, frozen(place, "kafka"):
        yield worker


@contextmanager
def starting_without_a_broker(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """The broker doesn't answer its first question."""
    with frozen(place, "kafka"):
        worker = begin("household")
        worker.until("it starts", lambda: worker.state == "starting")
        yield worker


@contextmanager
def without_a_registry(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """It has asked for a foreign schema, and there is no answer."""
    port = place.stack.home.state().ports.registry
    with frozen(place, "registry"):
        write(place, "in.pension", [(None, b"\x00\x00\x0f\x42\x3f" + b"foreign")])
        worker = begin("intake")
        process = psutil.Process(worker.process.pid)

        def asks() -> bool:
            return any(each.raddr[1:] == (port,) for each in process.net_connections())

        worker.until("it asks", asks)
        yield worker


@contextmanager
def without_a_database(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """It is in a transaction, and the database doesn't answer."""
    dsn = place.environment.dsn("postgres")
    with psycopg.connect(dsn) as admin, psycopg.connect(dsn, autocommit=True) as looker:
        admin.execute("LOCK TABLE local_tax.sink_offset IN ACCESS EXCLUSIVE MODE")
        worker = begin("sink.local-tax")

        def waits() -> bool:
            return looker.execute(WAITING, ["sink_local_tax"]).fetchone() is not None

        worker.until("it waits for the store", waits)
        with frozen(place, "postgres"):
            yield worker


@contextmanager
def sinks_at_work(place: IntegrationCluster, begin: Begin) -> Iterator[Started]:
    """The sinks of all domains, in their groups."""
    worker = begin("sink")
    worker.until_told("partitions.assigned", len(DOMAINS))
    yield worker


STATES = [
    idle,
    in_a_batch,
    restoring,
    unsettled,
    without_a_broker,
    starting_without_a_broker,
    without_a_registry,
    without_a_database,
    sinks_at_work,
]

#: In these a server doesn't answer: what waits for it is cut short when its time is over.
UNANSWERED = [without_a_broker, starting_without_a_broker, without_a_registry, without_a_database]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_it_ends_in_time_and_cleanly(
    place: IntegrationCluster,
    begin: Begin,
    state: Callable[[IntegrationCluster, Begin], AbstractContextManager[Started]],
) -> None:
    """Exit code 0, whatever it waits for; where all servers answer it ends by itself, and isn't cut short."""
    with state(place, begin) as worker:
        assert worker.stopped(STOP_S) == 0, worker.log.read_text()
    if state not in UNANSWERED:
        assert not worker.events("worker.stop-timeout"), worker.log.read_text()


#: Starts a worker, reads the first line of its log, and is gone: nobody reads on.
GONE = """
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-m", "infra.run", "household", "0"], stdout=subprocess.PIPE)
print(worker.pid, flush=True)
worker.stdout.readline()
os._exit(0)
"""


def test_it_ends_when_its_supervisor_is_gone_and_its_log_with_it(place: IntegrationCluster) -> None:
    """What it has to say then, nobody hears: that keeps it from nothing."""
    told = subprocess.run(
        [sys.executable, "-c", GONE], capture_output=True, check=True, text=True, timeout=60
    )
    worker = psutil.Process(int(told.stdout))
    _, alive = psutil.wait_procs([worker], STOP_S + PARENT_EVERY_S)
    assert not alive
