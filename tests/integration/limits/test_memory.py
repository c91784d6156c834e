"""The memory of a sink process is bounded, whatever its lag."""

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
from infra.coding import codec
from schemas.systems import DOMAINS
from schemas.topics import domain_topic
from tests.integration.cluster import IntegrationCluster
from tests.integration.figures import write_figures
from tests.integration.limits.conftest import StartWorker
from tests.integration.limits.records import changes

#: Records to write. Ten million take a few minutes: set MESH_TEST_RECORDS_BEHIND.
RECORDS = int(os.environ.get("MESH_TEST_RECORDS_BEHIND", "1000000"))
#: Records to apply: over a hundred batches, after which memory no longer grows.
APPLIED = min(RECORDS, 600_000)
DISTINCT = 100_000
MEMORY_MAX_BYTES = 300_000_000
TIMEOUT_S = 900.0
DOMAIN = DOMAINS["care"]


def write(cluster: IntegrationCluster) -> int:
    """Write more records than any buffer holds, each newer than the last of its person; return their mean size."""
    avro, size = codec(cluster.environment, cluster.installation), 0
    codes = [f"behind-{number:06d}" for number in range(DISTINCT)]
    rounds = (changes(DOMAIN, avro, codes, "N", revision) for revision in itertools.count(1))
    records = itertools.islice(itertools.chain.from_iterable(rounds), RECORDS)
    batching = {"linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4"}
    producer = Producer({**cluster.environment.kafka("admin"), **batching})
    for number, (key, value) in enumerate(records):
        size += len(key) + len(value)
        if number % 10_000 == 0:
            while len(producer) > 50_000:
                producer.poll(0.05)
        producer.produce(domain_topic(DOMAIN.id), value, key)
    assert producer.flush(120) == 0
    return size // RECORDS


@pytest.mark.proof
@pytest.mark.timeout(int(TIMEOUT_S) + 600)
def test_memory_is_bounded_whatever_the_lag(cluster: IntegrationCluster, start_worker: StartWorker) -> None:
    """A sink process that starts 200 batches behind stays under 300 MB while it applies the first 120."""
    with psycopg.connect(cluster.environment.dsn("auditor"), autocommit=True) as reader:

        def applied() -> int:
            return sum(store_status(reader, DOMAIN).next_offsets.values())

        before, size = applied(), write(cluster)
        begun = time.monotonic()
        worker = start_worker("sink")
        process, peak, applied_to = psutil.Process(worker.process.pid), 0, before
        while applied_to - before < APPLIED:
            assert time.monotonic() - begun < TIMEOUT_S, f"only {applied_to - before} records were applied"
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = worker.process.wait(0.5)
                pytest.fail(f"the worker ended with {code}: {worker.log.read_text()[-2000:]}")
            peak = max(peak, process.memory_info().rss)
            applied_to = applied()
        took_s = time.monotonic() - begun
    write_figures(
        "sink-behind",
        records=RECORDS,
        record_bytes=size,
        memory_peak_bytes=peak,
        duration_s=round(took_s, 1),
        records_applied=applied_to - before,
        records_per_s=round((applied_to - before) / took_s),
    )
    assert peak < MEMORY_MAX_BYTES, f"the process used {peak / 1e6:.0f} MB"
