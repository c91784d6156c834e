"""State and changelogs: a compacted changelog is complete, and restored state equals the state that was lost."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas.catalogue import Catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.topics import dlq_state_topic
from streams.kafka_clients import KafkaClients
from streams.pipeline import Pipeline
from streams.restore import Restorer
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.task import StreamTask
from streams.testing.driver import SEALER
from tests.integration.cluster import wait_until
from tests.integration.figures import write_figures
from tests.integration.streams.broker import Broker, WorkerProcess, only_task, process
from tests.unit.streams import toys

ENTRIES = 2_000_000
#: About the size of a person's history after a month.
VALUE_BYTES = 500
RESTORE_MAX_S = 20.0
#: The key of the barrier token up to which a changelog is read.
BARRIER_KEY = "mark/1"

Amounts = list[tuple[str, int]]


def configure(broker: Broker, resource: ConfigResource, **values: str) -> None:
    """Set configuration values of a topic or a broker; `_` in a name stands for `.`."""
    for name, value in values.items():
        entry = ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
    for future in broker.admin.incremental_alter_configs([resource]).values():
        future.result(30)


def entries_and_digest(worker: Pipeline) -> tuple[int, str]:
    """Return the number of entries and the digest of the worker's only partition."""
    task = only_task(worker)
    return task.entries, task.digest


def start_restored(worker: Pipeline) -> None:
    """Start a worker and run it until its partition is restored."""
    worker.start()
    wait_until(
        "state is restored",
        lambda: bool(worker.run_once() or (worker.partitions and not worker.restoring)),
    )


@pytest.fixture
def eager_cleaner(broker: Broker) -> Iterator[None]:
    """Make the broker compact as soon as there is anything to compact."""
    brokers = [str(number) for number in broker.admin.list_topics(timeout=10).brokers]
    for number in brokers:
        configure(broker, ConfigResource(ResourceType.BROKER, number), log_cleaner_backoff_ms="200")
    yield
    for number in brokers:
        configure(broker, ConfigResource(ResourceType.BROKER, number), log_cleaner_backoff_ms="15000")


def process_items(
    broker: Broker, worker: Pipeline, topic: str, amounts: Amounts, expected: dict[str, list[int]]
) -> None:
    """Write items and process them; append each name's sum to `expected`."""
    broker.write_items(topic, amounts)
    for name, amount in amounts:
        sums = expected.setdefault(name, [])
        sums.append((sums[-1] if sums else 0) + amount)
    process(worker, records=len(amounts))


@pytest.mark.usefixtures("eager_cleaner")
def test_a_compacted_changelog_is_complete(broker: Broker) -> None:
    """Compaction has removed most records and the tombstones; the restored state has every entry and no deleted one."""
    topic, _ = broker.create_total_topics(1)
    configure(
        broker,
        ConfigResource(ResourceType.TOPIC, broker.changelog),
        segment_ms="100",
        min_cleanable_dirty_ratio="0.001",
        delete_retention_ms="0",
        max_compaction_lag_ms="100",
    )
    names = [f"n{number}" for number in range(50)]
    worker = broker.pipeline("total")
    start_restored(worker)
    expected: dict[str, list[int]] = {}
    # The sum of every fifth name becomes 0, which deletes its entry; every tenth is then inserted again.
    for chosen, amount in ((names, 1), (names, 1), (names[::5], -2), (names[::10], 1)):
        process_items(broker, worker, topic, [(name, amount) for name in chosen], expected)

    def compacted() -> bool:
        # Only the next record after segment.ms closes a segment: so another key is written until all are compacted.
        process_items(broker, worker, topic, [("tick", 1)], expected)
        records = broker.read(broker.changelog)
        return all(record.value() is not None for record in records) and len(records) < len(names) + 20

    wait_until("the changelog is compacted, tombstones included", compacted)
    before = entries_and_digest(worker)
    worker.close()
    restarted = broker.pipeline("total")
    start_restored(restarted)
    assert entries_and_digest(restarted) == before
    expected_state = {name: sums[-1] for name, sums in expected.items() if sums[-1]}
    rows = only_task(restarted).state["sums"].get_many(expected)
    assert {name: row["sum"] for name, row in rows.items()} == expected_state
    assert len(expected_state) == before[0] == len(expected) - 5
    restarted.close()
    assert broker.sums() == expected


def test_state_restored_after_a_kill_has_the_digest_of_the_lost_state(
    broker: Broker, workers: list[WorkerProcess], tmp_path: Path
) -> None:
    """The log has each partition's digest at its last commit and when it was restored."""
    topic, _ = broker.create_total_topics(2)
    log, settings = tmp_path / "log", {"batch_records_max": 20}
    broker.write_items(topic, [(f"n{number % 40}", 1 - 2 * (number % 3 == 0)) for number in range(400)])
    dead = broker.start_worker(workers, "total", die_at=16, settings=settings, log=str(log))
    assert dead.wait(60) == -signal.SIGKILL
    lost = digests(log, "batch.committed")
    assert len(lost) == 2
    log.write_bytes(b"")
    restarted = broker.start_worker(workers, "total", settings=settings, log=str(log))
    wait_until("all records are processed", lambda: broker.is_idle(topic))
    restarted.terminate()
    assert restarted.wait(10) == 0
    assert digests(log, "state.restored") == lost
    assert digests(log, "batch.committed") != lost


def digests(log: Path, event: str) -> dict[int, str]:
    """Return the digest of each partition in the last log line with this event."""
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    return {line["partition"]: line["digest"] for line in lines if line["event"] == event}


def catalogue(engine: str, versions: int) -> Catalogue:
    """Return the toys' schemas; each version of `total` has one more nullable field, of bytes for engine `fastavro`."""
    field_type = "bytes" if engine == "fastavro" else "string"
    notes = [
        {"name": f"note{n}", "type": ["null", field_type], "default": None} for n in range(1, versions + 1)
    ]
    total = orjson.loads(toys.CATALOGUE.schema("total").text)
    texts = {
        number: orjson.dumps(total | {"fields": total["fields"] + notes[:number]}).decode()
        for number in range(1, versions + 1)
    }
    others = {
        name: {number: toys.CATALOGUE.schema(name, number).text for number in toys.CATALOGUE.versions(name)}
        for name in ("dead-letter", "item", "dlq-entry", "dead-letter-command")
    }
    return Catalogue(others | {"total": texts})


@pytest.mark.parametrize("engine", ["pyruhvro", "fastavro"])
def test_an_old_changelog_is_read_after_a_schema_change(broker: Broker, engine: str) -> None:
    """A changelog with values of version 1 and of version 2 is read in version 2."""
    topic, _ = broker.create_total_topics(1)
    settings = PipelineSettings(session_timeout_ms=6_000, linger_ms=5, poll_timeout_s=0.2)

    def worker_with(versions: int) -> Pipeline:
        schemas = catalogue(engine, versions)
        assert schemas.engine("total") == engine
        clients = KafkaClients(broker.connection, broker.step_name("total"), 0, settings)
        coding = Coding(Codec(schemas, LocalSchemaIds(schemas)), SEALER)
        return Pipeline(broker.step("total"), clients, coding, settings, time.monotonic)

    expected: dict[str, list[int]] = {}
    old = worker_with(1)
    start_restored(old)
    process_items(broker, old, topic, [("a", 1), ("b", 2), ("c", 3)], expected)
    before = entries_and_digest(old)
    old.close()
    new = worker_with(2)
    start_restored(new)
    assert entries_and_digest(new) == before
    process_items(broker, new, topic, [("a", 1), ("c", -3), ("d", 4)], expected)
    before = entries_and_digest(new)
    new.close()
    restarted = worker_with(2)
    start_restored(restarted)
    assert entries_and_digest(restarted) == before
    store = only_task(restarted).state["sums"]
    schema_ids = {value[:5] for value in store.committed.values()}
    assert len(schema_ids) == 2, "b is still in version 1"
    rows = store.get_many(["a", "b", "c", "d"])
    assert {name: row["sum"] for name, row in rows.items()} == {"a": 2, "b": 2, "d": 4}
    assert all(row["note1"] is None and row["note2"] is None for row in rows.values())
    process_items(broker, restarted, topic, [("b", 1)], expected)
    restarted.close()


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_two_million_entries_are_restored_in_time(broker: Broker) -> None:
    """The changelog of one partition is restored in less than 20 s on two cores."""
    broker.create_total_topics(1)
    write_entries(broker, broker.changelog)
    for topic in (broker.changelog, dlq_state_topic(broker.step_name("total"))):
        broker.write(topic, [(BARRIER_KEY, None)], 0)
    settings, partition = PipelineSettings(), ("item", 0)
    task = StreamTask.create(broker.step("total"), partition, toys.CODEC, settings.record_bytes_max)
    clients = KafkaClients(broker.connection, broker.step_name("total"), 0, settings)
    restorer = Restorer(broker.step("total"), clients, settings, time.monotonic)
    memory_before = psutil.Process().memory_info().rss
    began, cpu_began = time.monotonic(), time.process_time()
    restorer.begin({partition: task}, BARRIER_KEY)
    wait_until("state is restored", lambda: restorer.poll(settings.gather_timeout_s) == [partition], 120)
    took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
    write_figures(
        "restore",
        entries=task.entries,
        value_bytes=VALUE_BYTES,
        duration_s=round(took_s, 2),
        entries_per_s=round(task.entries / took_s),
        cpu_us_per_entry=round(1e6 * cpu_s / task.entries, 2),
        memory_bytes_per_entry=round((psutil.Process().memory_info().rss - memory_before) / task.entries),
        digest=task.digest,
    )
    assert task.entries == ENTRIES
    assert took_s < RESTORE_MAX_S, f"took {took_s} s"


def write_entries(broker: Broker, topic: str) -> None:
    """Write `ENTRIES` entries with distinct keys, as a step would."""
    batching = {"linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4"}
    producer = Producer({**broker.connection, **batching})
    head = secrets.token_bytes(VALUE_BYTES - 8)
    for number in range(ENTRIES):
        if number % 10_000 == 0:
            wait_until(
                "the producer's queue has room",
                lambda: len(producer) < 50_000 or producer.flush(0.05) < 50_000,
            )
        producer.produce(topic, head + b"%08d" % number, f"person-{number:028d}", 0)
    assert producer.flush(120) == 0
