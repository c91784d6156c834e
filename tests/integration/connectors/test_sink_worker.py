"""Workers of a sink on a real broker and a real database: whatever dies, each record is applied and told once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.worker import RelayAfterBatch
from connectors.sink_worker import SinkInput, SinkSettings, SinkWorker, consumer, consumer_properties
from infra.environment import Environment
from schemas.systems import Domain
from streams.clients import ProducerRecords
from tests.contract.sink_suite import CODEC, CODING, DOMAIN, MUNICIPALITY, Change, applied, encoded
from tests.integration.connectors import stores

TIMEOUT_S = 60.0
PARTITIONS = 3
SETTINGS = SinkSettings(batch_records_max=50, session_timeout_ms=6_000)


class Mesh:
    """A domain's topic, its store, and the topics that its sink writes, all of one test's own."""

    def __init__(self, environment: Environment, admin: Connection[Any]) -> None:
        self.kafka = environment.kafka("admin")
        self.dsn = environment.dsn(sink_role(DOMAIN))
        self.admin = admin
        self.name = f"test-{uuid4()}"
        self._relay_to = {name: f"{self.name}.{name}" for name in ("receipt", "dlq")}
        topics = [NewTopic(self.name, PARTITIONS, 1), *(NewTopic(t, 1, 1) for t in self._relay_to.values())]
        client = AdminClient(dict(self.kafka))
        for made in client.create_topics(topics).values():
            made.result(TIMEOUT_S)
        self.workers: list[SinkWorker] = []

    def publish(self, changes: Sequence[Change], partition: int | None = None) -> None:
        """By a producer of nobody's in particular."""
        producer = Producer(dict(self.kafka))
        for change, value in zip(changes, encoded(changes), strict=True):
            producer.produce(self.name, value, change.code, -1 if partition is None else partition)
        assert producer.flush(TIMEOUT_S) == 0

    def send(self, records: Sequence[ProducerRecords]) -> None:
        """Sends to this test's topics instead of the domain's."""
        renamed = [replace(out, topic=self._relay_to[out.topic.split(".")[0]]) for out in records]
        KafkaSend(self.kafka, "relay", TIMEOUT_S)(renamed)

    def worker(
        self, slot: int = 0, group: str = "group", store: PostgresSettings | None = None
    ) -> SinkWorker:
        """A worker that has joined."""
        properties = consumer_properties(
            self.kafka, f"{self.name}.{group}", f"{self.name}.{group}.{slot}", SETTINGS
        )
        sink = PostgresSink(DOMAIN, self.dsn, CODING, store)
        made = SinkWorker(
            SinkInput(self.name, DOMAIN.event, CODEC),
            sink,
            consumer(properties),
            SETTINGS,
            after=RelayAfterBatch(Relay(DOMAIN, sink.store, CODEC, self.send), 3),
        )
        made.start()
        self.workers.append(made)
        return made

    def applied(self) -> dict[int, int]:
        """The next offsets in the store."""
        return dict(store_status(self.admin, DOMAIN).next_offsets)

    def ends(self) -> dict[int, int]:
        """The end offsets, for readers of committed records."""
        reader = Consumer({**self.kafka, "group.id": "ends", "isolation.level": "read_committed"})
        found = {
            number: reader.get_watermark_offsets(TopicPartition(self.name, number), TIMEOUT_S)[1]
            for number in range(PARTITIONS)
        }
        reader.close()
        return found

    def idle(self) -> bool:
        """Whether all is applied and told."""
        status = store_status(self.admin, DOMAIN)
        waiting = status.receipts_waiting + status.letters_waiting
        return dict(status.next_offsets) == self.ends() and waiting == 0

    def told(self, kind: str) -> list[bytes | None]:
        """All that the relay sent."""
        topic = self._relay_to[kind]
        reader = Consumer({**self.kafka, "group.id": "told", "enable.partition.eof": True})
        reader.assign([TopicPartition(topic, 0, 0)])
        found: list[bytes | None] = []
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = reader.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                break
            found.append(message.value())
        reader.close()
        return found

    def receipts(self) -> list[dict[str, Any]]:
        """Receipts relayed."""
        rows: list[dict[str, Any]] = CODEC.decode("receipt-domain", self.told("receipt")).table.to_pylist()
        return rows


@pytest.fixture
def mesh(
    environment: Environment, admin: Connection[Any], make_store: Callable[[str], Domain]
) -> Iterator[Mesh]:
    make_store(DOMAIN.id)
    made = Mesh(environment, admin)
    yield made
    for worker in made.workers:
        worker.close()


def turn_until(workers: Sequence[SinkWorker], done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline, "not done in time"
        for worker in workers:
            worker.run_once()


def some(count: int, revision: int = 1) -> list[Change]:
    return [Change(f"code{number}", revision, name=f"{revision}") for number in range(count)]


def test_records_become_rows_and_receipts(mesh: Mesh) -> None:
    """All that is published is applied, told by receipts stamped with the day, and then the outbox is empty."""
    mesh.publish(some(200))
    turn_until([mesh.worker()], mesh.idle)
    assert len(stores.table(mesh.admin, DOMAIN, "person", "name")) == 200
    receipts = mesh.receipts()
    assert len({receipt["id"] for receipt in receipts}) == len(receipts) == 200
    assert {receipt["code"] for receipt in receipts} == {change.code for change in some(200)}
    assert all(receipt["applied_at"].year >= 2026 for receipt in receipts)


def test_poison_reaches_the_dead_letters_topic(mesh: Mesh) -> None:
    """With its origin and its bytes; the outbox is empty then, and the next records go on."""
    bad = Change("bad", 1, status="unknown")
    mesh.publish([Change("a", 1), bad, Change("b", 1)], partition=0)
    turn_until([mesh.worker()], mesh.idle)
    [letter] = CODEC.decode("dead-letter", mesh.told("dlq")).table.to_pylist()
    assert (letter["topic"], letter["partition"], letter["offset"]) == (mesh.name, 0, 1)
    assert (stores.opened(letter), letter["step"]) == (encoded([bad])[0], "sink.local-tax")
    assert {receipt["code"] for receipt in mesh.receipts()} == {"a", "b"}


def test_workers_share_the_partitions(mesh: Mesh) -> None:
    """Each has some, none has another's, and together they apply everything once."""
    workers = [mesh.worker(0), mesh.worker(1)]
    turn_until(workers, lambda: all(worker.partitions for worker in workers))
    owned = [number for worker in workers for number in worker.partitions]
    assert sorted(owned) == list(range(PARTITIONS))
    mesh.publish(some(300))
    turn_until(workers, mesh.idle)
    assert len(mesh.receipts()) == 300


def test_a_worker_killed_after_its_commit(mesh: Mesh) -> None:
    """The one started again in its slot goes on behind the batch: nothing is applied or told twice."""
    mesh.publish(some(300))
    killed = mesh.worker()
    turn_until([killed], lambda: sum(mesh.applied().values()) >= 50)
    mesh.workers.remove(killed)
    turn_until([mesh.worker()], mesh.idle)
    receipts = mesh.receipts()
    assert len({receipt["id"] for receipt in receipts}) == len(receipts) == 300
    with pytest.raises(streams.errors.FencedError):
        turn_until([killed], lambda: False)
    killed.close()


def test_a_zombie_and_its_successor(mesh: Mesh) -> None:
    """Two workers that both believe to own all partitions: offsets fence them, and rows never go back."""
    mesh.publish([*some(100), *some(100, 2), *some(100, 3)])
    workers = [mesh.worker(group="one"), mesh.worker(group="other")]
    turn_until(
        workers, lambda: mesh.idle() and all(len(worker.partitions) == PARTITIONS for worker in workers)
    )
    rows = stores.table(mesh.admin, DOMAIN, "person", "name")
    assert rows == {(change.code, MUNICIPALITY): ("3", 3) for change in some(100)}
    assert len(mesh.receipts()) == 300


def test_at_the_end_of_an_aborted_transaction_the_store_is_idle(mesh: Mesh) -> None:
    """Aborted records and markers take offsets; the store's position follows over them, and nothing of them shows."""
    mesh.publish([Change("a", 1)], partition=0)
    producer = Producer({**mesh.kafka, "transactional.id": mesh.name})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    for number, value in enumerate(encoded(some(PARTITIONS))):
        producer.produce(mesh.name, value, partition=number)
    producer.flush(TIMEOUT_S)
    producer.abort_transaction(TIMEOUT_S)
    turn_until([mesh.worker()], mesh.idle)
    assert mesh.applied() == {0: 3, 1: 2, 2: 2}
    assert set(stores.table(mesh.admin, DOMAIN, "person", "name")) == {("a", MUNICIPALITY)}


def test_the_broker_away_loses_no_receipt(mesh: Mesh) -> None:
    """A relay that can't send leaves everything in the outbox; afterwards it is sent."""
    down = [True]

    def send(records: Sequence[ProducerRecords]) -> None:
        if down[0]:
            raise BrokerUnavailableError("away")
        mesh.send(records)

    sink = PostgresSink(DOMAIN, mesh.dsn, CODING)
    applied(sink, *some(10), b"broken")
    relay = Relay(DOMAIN, sink.store, CODEC, send)
    with pytest.raises(BrokerUnavailableError):
        relay.run()
    status = store_status(mesh.admin, DOMAIN)
    assert (status.receipts_waiting, status.letters_waiting) == (1, 1)
    down[0] = False
    assert relay.run() == 2
    assert relay.run() == 0
    relay.close()
    assert (len(mesh.receipts()), len(mesh.told("dlq"))) == (10, 1)


def test_a_worker_fenced_again_and_again_gives_up(mesh: Mesh) -> None:
    """Every retry has an end."""
    mesh.publish(some(5))
    worker = mesh.worker()

    def fenced() -> Any:
        raise SinkFencedError("by the test")

    worker._sink.flush = fenced  # type: ignore[method-assign]
    with pytest.raises(SinkFencedError, match="one after the other"):
        turn_until([worker], lambda: False)


SLOW = """CREATE FUNCTION local_tax.slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep({seconds}); RETURN new; END';
CREATE TRIGGER slow BEFORE INSERT ON local_tax.person FOR EACH ROW EXECUTE FUNCTION local_tax.slow()"""


def test_a_batch_that_takes_too_long_is_stored_in_parts(mesh: Mesh) -> None:
    """Half as many records after each that was overdue, until they are few enough."""
    mesh.admin.execute(SLOW.format(seconds=0.02))
    mesh.publish(some(200))
    worker = mesh.worker(store=PostgresSettings(statement_timeout_s=0.5, lock_timeout_s=0.4))
    turn_until([worker], mesh.idle)
    assert len(stores.table(mesh.admin, DOMAIN, "person", "name")) == 200
    assert len(mesh.receipts()) == 200


def test_a_record_that_takes_too_long_stops_the_worker(mesh: Mesh) -> None:
    """It can't be made smaller; nothing is committed."""
    mesh.admin.execute(SLOW.format(seconds=1))
    mesh.publish(some(3))
    worker = mesh.worker(store=PostgresSettings(statement_timeout_s=0.2, lock_timeout_s=0.1))
    with pytest.raises(TransactionTimeoutError, match="one record"):
        turn_until([worker], lambda: False)
    assert stores.table(mesh.admin, DOMAIN, "person", "name") == {}
