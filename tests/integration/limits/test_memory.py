"""However far behind it is, a sink's process stays small."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time

import psutil
import psycopg
import pytest
from confluent_kafka import Producer

from connectors.postgres import store_status
from infra.codec import codec
from schemas.systems import DOMAINS
from schemas.topics import domain_topic
from tests.integration.cluster import IntegrationCluster
from tests.integration.figures import leave
from tests.integration.limits.conftest import Begin
from tests.integration.limits.records import changes

#: Ten million take a few minutes to write: set MESH_TEST_RECORDS_BEHIND.
BEHIND = int(os.environ.get("MESH_TEST_RECORDS_BEHIND", "1000000"))
#: So much of it is worked off: a hundred batches and more, after which memory has found its level.
APPLIED = min(BEHIND, 600_000)
DISTINCT = 100_000
MEMORY_MAX_BYTES = 300_000_000
TIMEOUT_S = 900.0
DOMAIN = DOMAINS["care"]


def write(place: IntegrationCluster) -> int:
    """Small records, so many that no buffer holds them, and each newer than the last of its person; their mean size."""
    known, size = codec(place.environment, place.installation), 0
    codes = [f"behind-{number:06d}" for number in range(DISTINCT)]
    rounds = (changes(DOMAIN, known, codes, "N", revision) for revision in itertools.count(1))
    records = itertools.islice(itertools.chain.from_iterable(rounds), BEHIND)
    batching = {"linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4"}
    producer = Producer({**place.environment.kafka("admin"), **batching})
    for number, (key, value) in enumerate(records):
        size += len(key) + len(value)
        if number % 10_000 == 0:
            while len(producer) > 50_000:
                producer.poll(0.05)
        producer.produce(domain_topic(DOMAIN.id), value, key)
    assert producer.flush(120) == 0
    return size // BEHIND


@pytest.mark.proof
@pytest.mark.timeout(int(TIMEOUT_S) + 600)
def test_memory_stays_bounded_however_far_behind(place: IntegrationCluster, begin: Begin) -> None:
    """The process of all sinks of a slot, from its start through its first hundred batches, stays under 300 MB."""
    with psycopg.connect(place.environment.dsn("auditor"), autocommit=True) as reader:

        def applied() -> int:
            return sum(store_status(reader, DOMAIN).next_offsets.values())

        before, size = applied(), write(place)
        begun = time.monotonic()
        worker = begin("sink")
        process, peak, applied_to = psutil.Process(worker.process.pid), 0, before
        while applied_to - before < APPLIED:
            assert time.monotonic() - begun < TIMEOUT_S, f"{applied_to - before} are applied"
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = worker.process.wait(0.5)
                pytest.fail(f"it ended with {code}: {worker.log.read_text()[-2000:]}")
            peak = max(peak, process.memory_info().rss)
            applied_to = applied()
        took_s = time.monotonic() - begun
    leave(
        "sink-behind",
        records=BEHIND,
        record_bytes=size,
        memory_peak_bytes=peak,
        duration_s=round(took_s, 1),
        records_applied=applied_to - before,
        records_per_s=round((applied_to - before) / took_s),
    )
    assert peak < MEMORY_MAX_BYTES, f"{peak / 1e6:.0f} MB"
