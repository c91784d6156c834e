"""A worker that receives SIGTERM ends cleanly within ten seconds, in any state."""

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
from tests.integration.limits.conftest import StartedWorker, StartWorker, frozen
from tests.integration.limits.records import write

#: From SIGTERM to the end of the process. A worker's own shutdown deadline is 8 s (`streams.worker`).
STOP_S = 10.0
DOMAIN = DOMAINS["local-tax"]
WAITING_FOR_LOCK = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
UNDECODABLE = [(None, b"not an Avro record")] * 60_000


@contextmanager
def idle(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a worker that is in its group and has nothing to do."""
    worker = start_worker("household")
    worker.wait_until("it runs", lambda: worker.state == "running")
    yield worker


@contextmanager
def in_a_batch(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a worker that has committed one batch and has many more to process."""
    write(cluster, "in.juki-cs.012033", UNDECODABLE)
    worker = start_worker("intake", MESH_BATCH_RECORDS_MAX="2000")
    worker.wait_for_event("batch.committed")
    yield worker


@contextmanager
def restoring(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a worker that can't read a changelog to its end, because a transaction is open on it."""
    producer = Producer({**cluster.environment.kafka("admin"), "transactional.id": "mesh.test"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(state_topic("household", "notices"), b"never", b"never", 0)
    assert producer.flush(30) == 0
    worker = start_worker("household")
    worker.wait_until("it restores", lambda: worker.state == "restoring")
    yield worker
    producer.abort_transaction(30)


@contextmanager
def initializing(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a worker whose start offset is in an open transaction."""
    connection = cluster.environment.kafka("admin")
    member = Consumer({**connection, "group.id": "mesh.conversion"})
    producer = Producer({**connection, "transactional.id": "mesh.test"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.send_offsets_to_transaction(
        [TopicPartition("change.nta", 0, 0)], member.consumer_group_metadata(), 30
    )
    worker = start_worker("conversion")
    worker.wait_for_event("partitions.waiting")
    yield worker
    producer.abort_transaction(30)
    member.close()


@contextmanager
def without_a_broker(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a running worker whose broker no longer answers."""
    with idle(cluster, start_worker) as worker, frozen(cluster, "kafka"):
        yield worker


@contextmanager
def starting_without_a_broker(
    cluster: IntegrationCluster, start_worker: StartWorker
) -> Iterator[StartedWorker]:
    """Yield a starting worker whose broker does not answer."""
    with frozen(cluster, "kafka"):
        worker = start_worker("household")
        worker.wait_until("it starts", lambda: worker.state == "starting")
        yield worker


@contextmanager
def without_a_registry(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a worker that waits for the registry, which does not answer, to return a foreign schema."""
    port = cluster.stack.home.state().ports.registry
    with frozen(cluster, "registry"):
        write(cluster, "in.pension", [(None, b"\x00\x00\x0f\x42\x3f" + b"foreign")])
        worker = start_worker("intake")
        process = psutil.Process(worker.process.pid)

        def requests_schema() -> bool:
            return any(connection.raddr[1:] == (port,) for connection in process.net_connections())

        worker.wait_until("it requests the schema", requests_schema)
        yield worker


@contextmanager
def without_a_database(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a sink that is in a transaction when the database stops answering."""
    dsn = cluster.environment.dsn("postgres")
    with psycopg.connect(dsn) as admin, psycopg.connect(dsn, autocommit=True) as observer:
        admin.execute("LOCK TABLE local_tax.sink_offset IN ACCESS EXCLUSIVE MODE")
        worker = start_worker("sink.local-tax")

        def waits_for_lock() -> bool:
            return observer.execute(WAITING_FOR_LOCK, ["sink_local_tax"]).fetchone() is not None

        worker.wait_until("it waits for the lock", waits_for_lock)
        with frozen(cluster, "postgres"):
            yield worker


@contextmanager
def running_sinks(cluster: IntegrationCluster, start_worker: StartWorker) -> Iterator[StartedWorker]:
    """Yield a worker with the sinks of all domains, all in their groups."""
    worker = start_worker("sink")
    worker.wait_for_event("partitions.assigned", len(DOMAINS))
    yield worker


STATES = [
    idle,
    in_a_batch,
    restoring,
    initializing,
    without_a_broker,
    starting_without_a_broker,
    without_a_registry,
    without_a_database,
    running_sinks,
]

#: States in which a server does not answer: the worker's shutdown deadline ends the calls that wait for it.
UNANSWERED = [without_a_broker, starting_without_a_broker, without_a_registry, without_a_database]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_worker_ends_in_time_and_cleanly(
    cluster: IntegrationCluster,
    start_worker: StartWorker,
    state: Callable[[IntegrationCluster, StartWorker], AbstractContextManager[StartedWorker]],
) -> None:
    """The exit code is 0; if all servers answer, the worker ends before its shutdown deadline."""
    with state(cluster, start_worker) as worker:
        assert worker.stop(STOP_S) == 0, worker.log.read_text()
    if state not in UNANSWERED:
        assert not worker.events("worker.stop-timeout"), worker.log.read_text()


#: Starts a worker, reads the first line of its log, and exits: nobody reads the rest of the log.
EXITING_PARENT = """
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-m", "infra.run", "household", "0"], stdout=subprocess.PIPE)
print(worker.pid, flush=True)
worker.stdout.readline()
os._exit(0)
"""


def test_a_worker_ends_when_its_supervisor_and_log_reader_are_dead(cluster: IntegrationCluster) -> None:
    """A broken pipe for its log lines does not keep the worker from ending."""
    parent = subprocess.run(
        [sys.executable, "-c", EXITING_PARENT], capture_output=True, check=True, text=True, timeout=60
    )
    worker = psutil.Process(int(parent.stdout))
    _, alive = psutil.wait_procs([worker], STOP_S + PARENT_EVERY_S)
    assert not alive
