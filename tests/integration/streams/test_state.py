"""State that can't rot: a changelog is compacted and yet complete, and what is restored is what was lost."""

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
from streams.processing import Processing
from streams.restore import Restorer
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.testing.driver import SEALER
from tests.integration.figures import leave
from tests.integration.streams.conftest import Broker, wait_until
from tests.integration.streams.test_killed_workers import Worker, idle, made, start, sums, workers
from tests.unit.streams import toys

__all__ = ["workers"]

ENTRIES = 2_000_000
#: About what a person's history takes after a month.
VALUE_BYTES = 500
RESTORE_MAX_S = 20.0
#: What a restoration reads up to.
MARK = "mark/1"

Amounts = list[tuple[str, int]]


def changelog(broker: Broker) -> str:
    """The changelog of the step `total`."""
    return f"state.{broker.name('total')}.sums"


def configured(broker: Broker, resource_: ConfigResource, **values: str) -> None:
    """Sets configurations of a topic or of all brokers."""
    for name, value in values.items():
        entry = ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        resource_.add_incremental_config(entry)
    for done in broker.admin.incremental_alter_configs([resource_]).values():
        done.result(30)


def state_of(worker: Pipeline) -> tuple[int, str]:
    """Entries and digest of its only partition."""
    (state,) = worker._assignment.tasks.values()
    return state.entries, state.digest


def ready(worker: Pipeline) -> None:
    """Its partition's state is whole."""
    worker.start()
    wait_until("restored", lambda: bool(worker.run_once() or (worker.partitions and not worker.restoring)))


@pytest.fixture
def eager_cleaner(broker: Broker) -> Iterator[None]:
    """The broker compacts as soon as there is anything to compact."""
    every = [str(number) for number in broker.admin.list_topics(timeout=10).brokers]
    for number in every:
        configured(broker, ConfigResource(ResourceType.BROKER, number), log_cleaner_backoff_ms="200")
    yield
    for number in every:
        configured(broker, ConfigResource(ResourceType.BROKER, number), log_cleaner_backoff_ms="15000")


def told(broker: Broker, worker: Pipeline, topic: str, amounts: Amounts, sums_: dict[str, list[int]]) -> None:
    """Writes items, has them processed, and notes each name's running sums."""
    broker.feed(topic, amounts)
    for name, amount in amounts:
        before = sums_.setdefault(name, [])
        before.append((before[-1] if before else 0) + amount)
    left = [len(amounts)]

    def processed() -> bool:
        left[0] -= worker.run_once()
        return left[0] <= 0

    wait_until("processed", processed)


@pytest.mark.usefixtures("eager_cleaner")
def test_a_compacted_changelog_is_complete(broker: Broker) -> None:
    """Most of its records are gone, tombstones too; what is restored is what was there, without what was deleted."""
    topic, out = made(broker, 1)
    tiny = ConfigResource(ResourceType.TOPIC, changelog(broker))
    configured(
        broker,
        tiny,
        segment_ms="100",
        min_cleanable_dirty_ratio="0.001",
        delete_retention_ms="0",
        max_compaction_lag_ms="100",
    )
    names = [f"n{number}" for number in range(50)]
    worker = broker.pipeline("total")
    ready(worker)
    expected: dict[str, list[int]] = {}
    # Every fifth comes to nothing, and is forgotten; every tenth comes anew.
    for some, amount in ((names, 1), (names, 1), (names[::5], -2), (names[::10], 1)):
        told(broker, worker, topic, [(name, amount) for name in some], expected)

    def compacted() -> bool:
        # A segment is closed by the next record after its time; the one that ticks is a key like any other.
        told(broker, worker, topic, [("tick", 1)], expected)
        left = broker.read(changelog(broker))
        return all(record.value() is not None for record in left) and len(left) < len(names) + 20

    wait_until("it is compacted, tombstones too", compacted)
    before = state_of(worker)
    worker.close()
    again = broker.pipeline("total")
    ready(again)
    assert state_of(again) == before
    held = {name: of[-1] for name, of in expected.items() if of[-1]}
    found = next(iter(again._assignment.tasks.values())).state["sums"].get_many(expected)
    assert {name: row["sum"] for name, row in found.items()} == held
    assert len(held) == before[0] == len(expected) - 5
    again.close()
    assert sums(broker, out) == expected


def test_what_is_restored_after_a_kill_has_the_digest_of_what_was_lost(
    broker: Broker, workers: list[Worker], tmp_path: Path
) -> None:
    """Dead in a transaction; the log tells each partition's digest with its last commit and with its restoration."""
    topic, _ = made(broker, 2)
    log, settings = tmp_path / "log", {"batch_records_max": 20}
    broker.feed(topic, [(f"n{number % 40}", 1 - 2 * (number % 3 == 0)) for number in range(400)])
    dead = start(workers, broker, "total", die_at=16, settings=settings, log=str(log))
    assert dead.wait(60) == -signal.SIGKILL
    lost = digests(log, "batch.committed")
    assert len(lost) == 2
    log.write_bytes(b"")
    again = start(workers, broker, "total", settings=settings, log=str(log))
    wait_until("all processed", lambda: idle(broker, topic))
    again.terminate()
    assert again.wait(10) == 0
    assert digests(log, "state.restored") == lost
    assert digests(log, "batch.committed") != lost


def digests(log: Path, event: str) -> dict[int, str]:
    """The last that the log tells of each partition."""
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    return {line["partition"]: line["digest"] for line in lines if line["event"] == event}


def catalogue(engine: str, versions: int) -> Catalogue:
    """The toys' schemas; a total has a nullable field of each version's own, of bytes where fastavro is to read it."""
    kind = "bytes" if engine == "fastavro" else "string"
    own = [{"name": f"note{n}", "type": ["null", kind], "default": None} for n in range(1, versions + 1)]
    basis = orjson.loads(toys.CATALOGUE.schema("total").text)
    texts = {
        number: orjson.dumps(basis | {"fields": basis["fields"] + own[:number]}).decode()
        for number in range(1, versions + 1)
    }
    same = ("dead-letter", "item", "dlq-entry", "dead-letter-command")
    others = {
        name: {number: toys.CATALOGUE.schema(name, number).text for number in toys.CATALOGUE.versions(name)}
        for name in same
    }
    return Catalogue(others | {"total": texts})


@pytest.mark.parametrize("engine", ["pyruhvro", "fastavro"])
def test_an_old_changelog_is_read_after_a_schema_change(broker: Broker, engine: str) -> None:
    """Values of version 1 and of version 2 stand side by side, and both are read as version 2 has them."""
    topic, _ = made(broker, 1)
    settings = PipelineSettings(session_timeout_ms=6_000, linger_ms=5, poll_timeout_s=0.2)

    def released(versions: int) -> Pipeline:
        known = catalogue(engine, versions)
        assert known.engine("total") == engine
        clients = KafkaClients(broker.connection, broker.name("total"), 0, settings)
        coding = Coding(Codec(known, LocalSchemaIds(known)), SEALER)
        return Pipeline(broker.step("total"), clients, coding, settings, time.monotonic)

    expected: dict[str, list[int]] = {}
    old = released(1)
    ready(old)
    told(broker, old, topic, [("a", 1), ("b", 2), ("c", 3)], expected)
    lost = state_of(old)
    old.close()
    new = released(2)
    ready(new)
    assert state_of(new) == lost
    told(broker, new, topic, [("a", 1), ("c", -3), ("d", 4)], expected)
    lost = state_of(new)
    new.close()
    again = released(2)
    ready(again)
    assert state_of(again) == lost
    (kept,) = again._assignment.tasks.values()
    prefixes = {value[:5] for value in kept.state["sums"].committed.values()}
    assert len(prefixes) == 2, "b is as version 1 wrote it"
    rows = kept.state["sums"].get_many(["a", "b", "c", "d"])
    assert {name: row["sum"] for name, row in rows.items()} == {"a": 2, "b": 2, "d": 4}
    assert all(row["note1"] is None and row["note2"] is None for row in rows.values())
    told(broker, again, topic, [("b", 1)], expected)
    again.close()


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_two_million_entries_are_restored_in_time(broker: Broker) -> None:
    """In less than 20 s on two cores, from the changelog of one partition."""
    made(broker, 1)
    write_entries(broker, changelog(broker))
    for each in (changelog(broker), dlq_state_topic(broker.name("total"))):
        broker.write(each, [(MARK, None)], 0)
    settings = PipelineSettings()
    place = ("item", 0)
    kept = Processing(broker.step("total"), toys.CODEC, settings, SEALER).new(place)
    clients = KafkaClients(broker.connection, broker.name("total"), 0, settings)
    restorer = Restorer(broker.step("total"), clients, settings, time.monotonic)
    held = psutil.Process().memory_info().rss
    begun, cpu = time.monotonic(), time.process_time()
    restorer.begin({place: kept}, MARK)
    wait_until("restored", lambda: restorer.poll(settings.gather_timeout_s) == [place], 120)
    took_s, cpu_s = time.monotonic() - begun, time.process_time() - cpu
    leave(
        "restore",
        entries=kept.entries,
        value_bytes=VALUE_BYTES,
        duration_s=round(took_s, 2),
        entries_per_s=round(kept.entries / took_s),
        cpu_us_per_entry=round(1e6 * cpu_s / kept.entries, 2),
        memory_bytes_per_entry=round((psutil.Process().memory_info().rss - held) / kept.entries),
        digest=kept.digest,
    )
    assert kept.entries == ENTRIES
    assert took_s < RESTORE_MAX_S, f"took {took_s} s"


def write_entries(broker: Broker, topic: str) -> None:
    """So many entries of distinct keys, as a step would write them."""
    batching = {"linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4"}
    producer = Producer({**broker.connection, **batching})
    head = secrets.token_bytes(VALUE_BYTES - 8)
    for number in range(ENTRIES):
        if number % 10_000 == 0:
            wait_until("there is room", lambda: len(producer) < 50_000 or producer.flush(0.05) < 50_000)
        producer.produce(topic, head + b"%08d" % number, f"person-{number:028d}", 0)
    assert producer.flush(120) == 0
