"""Workers of a sink on a real broker and a real database: whatever dies, each record is applied and reported once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import Connection

import streams.errors
from connectors.errors import BrokerUnavailableError, SinkFencedError, TransactionTimeoutError
from connectors.postgres import PostgresSink, Relay, sink_role, store_status
from connectors.postgres.relay import KafkaSend
from connectors.postgres.store import PostgresSettings
from connectors.postgres.worker import RelayAfterBatch
from connectors.sink_worker import SinkInput, SinkSettings, SinkWorker, consumer_properties, sink_consumer
from infra.environment import Environment
from schemas.systems import Domain
from streams.clients import ProducerRecords
from tests.contract.sink_suite import (
    CODEC,
    CODING,
    DOMAIN,
    MUNICIPALITY,
    Change,
    apply_changes,
    encode_changes,
)
from tests.integration.connectors import stores

TIMEOUT_S = 60.0
PARTITIONS = 3
SETTINGS = SinkSettings(batch_records_max=50, session_timeout_ms=6_000)


class SinkMesh:
    """A domain's topic and store, and the topics that the sink writes, for one test only."""

    def __init__(self, environment: Environment, admin: Connection[Any]) -> None:
        self.kafka = environment.kafka("admin")
        self.dsn = environment.dsn(sink_role(DOMAIN))
        self.admin = admin
        self.topic = f"test-{uuid4()}"
        self._relay_topics = {name: f"{self.topic}.{name}" for name in ("receipt", "dlq")}
        topics = [
            NewTopic(self.topic, PARTITIONS, 1),
            *(NewTopic(topic, 1, 1) for topic in self._relay_topics.values()),
        ]
        client = AdminClient(dict(self.kafka))
        for created in client.create_topics(topics).values():
            created.result(TIMEOUT_S)
        self.workers: list[SinkWorker] = []

    def publish(self, changes: Sequence[Change], partition: int | None = None) -> None:
        """Publish changes to the domain's topic, outside a transaction."""
        producer = Producer(dict(self.kafka))
        for change, value in zip(changes, encode_changes(changes), strict=True):
            producer.produce(self.topic, value, change.code, -1 if partition is None else partition)
        assert producer.flush(TIMEOUT_S) == 0

    def send(self, records: Sequence[ProducerRecords]) -> None:
        """Send records to this test's topics instead of the domain's."""
        redirected = [
            replace(for_topic, topic=self._relay_topics[for_topic.topic.split(".")[0]])
            for for_topic in records
        ]
        KafkaSend(self.kafka, "relay", TIMEOUT_S)(redirected)

    def start_worker(
        self,
        slot: int = 0,
        group: str = "group",
        store: PostgresSettings | None = None,
        sink_class: type[PostgresSink] = PostgresSink,
    ) -> SinkWorker:
        """Return a worker that has joined the group."""
        properties = consumer_properties(
            self.kafka, f"{self.topic}.{group}", f"{self.topic}.{group}.{slot}", SETTINGS
        )
        sink = sink_class(DOMAIN, self.dsn, CODING, store)
        worker = SinkWorker(
            SinkInput(self.topic, DOMAIN.event, CODEC),
            sink,
            sink_consumer(properties),
            SETTINGS,
            after=RelayAfterBatch(Relay(DOMAIN, sink.store, CODEC, self.send), 3),
        )
        worker.start()
        self.workers.append(worker)
        return worker

    def stored_offsets(self) -> dict[int, int]:
        """Return the offsets in the store."""
        return dict(store_status(self.admin, DOMAIN).next_offsets)

    def end_offsets(self) -> dict[int, int]:
        """Return the end offsets for readers of committed records."""
        reader = Consumer({**self.kafka, "group.id": "ends", "isolation.level": "read_committed"})
        end_offsets = {
            number: reader.get_watermark_offsets(TopicPartition(self.topic, number), TIMEOUT_S)[1]
            for number in range(PARTITIONS)
        }
        reader.close()
        return end_offsets

    def is_idle(self) -> bool:
        """Return whether all records are applied, and all receipts and dead letters relayed."""
        status = store_status(self.admin, DOMAIN)
        waiting = status.receipts_waiting + status.dead_letters_waiting
        return dict(status.next_offsets) == self.end_offsets() and waiting == 0

    def relayed(self, name: str) -> list[bytes | None]:
        """Return the values that the relay has sent to topic `receipt` or `dlq`."""
        reader = Consumer({**self.kafka, "group.id": "relayed", "enable.partition.eof": True})
        reader.assign([TopicPartition(self._relay_topics[name], 0, 0)])
        values: list[bytes | None] = []
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = reader.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                break
            values.append(message.value())
        reader.close()
        return values

    def receipts(self) -> list[dict[str, Any]]:
        """Return the relayed receipts."""
        decoded = CODEC.decode("receipt-domain", self.relayed("receipt"))
        rows: list[dict[str, Any]] = decoded.table.to_pylist()
        return rows


@pytest.fixture
def mesh(
    environment: Environment, admin: Connection[Any], make_store: Callable[[str], Domain]
) -> Iterator[SinkMesh]:
    """Return a domain's topic and store, both empty."""
    make_store(DOMAIN.id)
    mesh = SinkMesh(environment, admin)
    yield mesh
    for worker in mesh.workers:
        worker.close()


def run_until(workers: Sequence[SinkWorker], is_done: Callable[[], bool]) -> None:
    """Run the workers in turn until the condition holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_done():
        assert time.monotonic() < deadline, "not done in time"
        for worker in workers:
            worker.run_once()


def numbered_changes(count: int, revision: int = 1) -> list[Change]:
    """Return a change of each of `count` persons."""
    return [Change(f"code{number}", revision, name=f"{revision}") for number in range(count)]


def test_records_become_rows_and_receipts(mesh: SinkMesh) -> None:
    """Each record is applied and has one receipt with the time of its application; then the outbox is empty."""
    mesh.publish(numbered_changes(200))
    run_until([mesh.start_worker()], mesh.is_idle)
    assert len(stores.table(mesh.admin, DOMAIN, "person", "name")) == 200
    receipts = mesh.receipts()
    assert len({receipt["id"] for receipt in receipts}) == len(receipts) == 200
    assert {receipt["code"] for receipt in receipts} == {change.code for change in numbered_changes(200)}
    assert all(receipt["applied_at"].year >= 2026 for receipt in receipts)


def test_an_invalid_record_reaches_the_dead_letter_topic(mesh: SinkMesh) -> None:
    """The dead letter has the record's position and value; later records are applied."""
    invalid = Change("invalid", 1, status="unknown")
    mesh.publish([Change("a", 1), invalid, Change("b", 1)], partition=0)
    run_until([mesh.start_worker()], mesh.is_idle)
    [dead_letter] = CODEC.decode("dead-letter", mesh.relayed("dlq")).table.to_pylist()
    position = tuple(dead_letter[name] for name in ("topic", "partition", "offset"))
    assert position == (mesh.topic, 0, 1)
    assert stores.opened_value(dead_letter) == encode_changes([invalid])[0]
    assert dead_letter["step"] == "sink.local-tax"
    assert {receipt["code"] for receipt in mesh.receipts()} == {"a", "b"}


def test_workers_share_the_partitions(mesh: SinkMesh) -> None:
    """Each partition has one owner, and together the workers apply each record once."""
    workers = [mesh.start_worker(0), mesh.start_worker(1)]
    run_until(workers, lambda: all(worker.partitions for worker in workers))
    owned = [number for worker in workers for number in worker.partitions]
    assert sorted(owned) == list(range(PARTITIONS))
    mesh.publish(numbered_changes(300))
    run_until(workers, mesh.is_idle)
    assert len(mesh.receipts()) == 300


def test_a_worker_killed_after_its_commit_is_replaced(mesh: SinkMesh) -> None:
    """The next worker in its slot continues after the committed batch: nothing is applied or reported twice."""
    mesh.publish(numbered_changes(300))
    killed = mesh.start_worker()
    run_until([killed], lambda: sum(mesh.stored_offsets().values()) >= 50)
    mesh.workers.remove(killed)
    run_until([mesh.start_worker()], mesh.is_idle)
    receipts = mesh.receipts()
    assert len({receipt["id"] for receipt in receipts}) == len(receipts) == 300
    with pytest.raises(streams.errors.FencedError):
        run_until([killed], lambda: False)
    killed.close()


def test_offsets_fence_two_workers_of_the_same_partitions(mesh: SinkMesh) -> None:
    """Two workers that both own all partitions apply each record once, and no row gets an older revision."""
    mesh.publish([*numbered_changes(100), *numbered_changes(100, 2), *numbered_changes(100, 3)])
    workers = [mesh.start_worker(group="one"), mesh.start_worker(group="other")]
    run_until(
        workers,
        lambda: mesh.is_idle() and all(len(worker.partitions) == PARTITIONS for worker in workers),
    )
    rows = stores.table(mesh.admin, DOMAIN, "person", "name")
    assert rows == {(change.code, MUNICIPALITY): ("3", 3) for change in numbered_changes(100)}
    assert len(mesh.receipts()) == 300


def test_the_stored_offset_advances_over_an_aborted_transaction(mesh: SinkMesh) -> None:
    """Aborted records and markers take offsets; their content is not applied."""
    mesh.publish([Change("a", 1)], partition=0)
    producer = Producer({**mesh.kafka, "transactional.id": mesh.topic})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    for number, value in enumerate(encode_changes(numbered_changes(PARTITIONS))):
        producer.produce(mesh.topic, value, partition=number)
    producer.flush(TIMEOUT_S)
    producer.abort_transaction(TIMEOUT_S)
    run_until([mesh.start_worker()], mesh.is_idle)
    assert mesh.stored_offsets() == {0: 3, 1: 2, 2: 2}
    assert set(stores.table(mesh.admin, DOMAIN, "person", "name")) == {("a", MUNICIPALITY)}


def test_an_unreachable_broker_loses_no_receipt(mesh: SinkMesh) -> None:
    """A relay that cannot send leaves all rows in the outboxes, and sends them later."""
    is_unreachable = True

    def send(records: Sequence[ProducerRecords]) -> None:
        if is_unreachable:
            raise BrokerUnavailableError("unreachable")
        mesh.send(records)

    sink = PostgresSink(DOMAIN, mesh.dsn, CODING)
    apply_changes(sink, *numbered_changes(10), b"broken")
    relay = Relay(DOMAIN, sink.store, CODEC, send)
    with pytest.raises(BrokerUnavailableError):
        relay.run()
    status = store_status(mesh.admin, DOMAIN)
    assert (status.receipts_waiting, status.dead_letters_waiting) == (1, 1)
    is_unreachable = False
    assert relay.run() == 2
    assert relay.run() == 0
    relay.close()
    assert (len(mesh.receipts()), len(mesh.relayed("dlq"))) == (10, 1)


class FencedSink(PostgresSink):
    """A sink that is fenced at every flush."""

    def flush(self) -> Mapping[int, int]:
        """Raise SinkFencedError."""
        raise SinkFencedError("by the test")


def test_a_worker_that_is_fenced_repeatedly_ends(mesh: SinkMesh) -> None:
    """The number of times in a row is limited."""
    mesh.publish(numbered_changes(5))
    worker = mesh.start_worker(sink_class=FencedSink)
    with pytest.raises(SinkFencedError, match="in a row"):
        run_until([worker], lambda: False)


#: A trigger that makes each insert take this long.
SLOW = """CREATE FUNCTION local_tax.slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep({seconds}); RETURN new; END';
CREATE TRIGGER slow BEFORE INSERT ON local_tax.person FOR EACH ROW EXECUTE FUNCTION local_tax.slow()"""


def test_a_batch_that_times_out_is_stored_in_parts(mesh: SinkMesh) -> None:
    """The batch size is halved after each timeout until a batch succeeds."""
    mesh.admin.execute(SLOW.format(seconds=0.02))
    mesh.publish(numbered_changes(200))
    worker = mesh.start_worker(store=PostgresSettings(statement_timeout_s=0.5, lock_timeout_s=0.4))
    run_until([worker], mesh.is_idle)
    assert len(stores.table(mesh.admin, DOMAIN, "person", "name")) == 200
    assert len(mesh.receipts()) == 200


def test_a_single_record_that_times_out_ends_the_worker(mesh: SinkMesh) -> None:
    """A batch of one cannot be halved; nothing is committed."""
    mesh.admin.execute(SLOW.format(seconds=1))
    mesh.publish(numbered_changes(3))
    worker = mesh.start_worker(store=PostgresSettings(statement_timeout_s=0.2, lock_timeout_s=0.1))
    with pytest.raises(TransactionTimeoutError, match="one record"):
        run_until([worker], lambda: False)
    assert stores.table(mesh.admin, DOMAIN, "person", "name") == {}
