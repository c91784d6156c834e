"""The tracker reads topics that were written in transactions, some of them aborted."""

from __future__ import annotations

from datetime import UTC, date, datetime

from confluent_kafka import Producer

from infra.coding import codec
from infra.monitoring.stages import MeshInspector
from infra.run.background import start_workers
from schemas.tables import table_from_rows
from schemas.topics import CASE_OPENED, transactional_id
from tests.integration.cluster import CONDITION_TIMEOUT_S, IntegrationCluster, wait_until

STEP = "household"


def test_the_tracker_passes_markers_and_aborted_records(cluster: IntegrationCluster) -> None:
    """A partition that begins with one record and an aborted transaction is read and committed to its end."""
    cluster.reset()
    producer = Producer({**cluster.environment.kafka(STEP), "transactional.id": transactional_id(STEP, 0)})
    producer.init_transactions(CONDITION_TIMEOUT_S)
    for number, committed in enumerate((True, False, True, True)):
        open_case(cluster, producer, str(number), committed=committed)
    start_workers(cluster.environment, cluster.installation, steps=("tracker",))
    wait_until("the tracker has committed all records", lambda: tracker_lag(cluster) == 0)


def open_case(cluster: IntegrationCluster, producer: Producer, notice: str, *, committed: bool) -> None:
    """Write one record to the first partition, in a transaction of its own."""
    row = {
        "case": {"municipality": "131041", "notice": notice},
        "reason": "MOVED_IN",
        "effective_on": date(2026, 4, 1),
        "persons": 1,
        "received_at": datetime(2026, 4, 1, tzinfo=UTC),
    }
    avro = codec(cluster.environment, cluster.installation)
    (value,) = avro.encode("case-opened", table_from_rows("case-opened", [row])).to_pylist()
    producer.begin_transaction()
    producer.produce(CASE_OPENED, value, notice.encode(), 0)
    assert producer.flush(CONDITION_TIMEOUT_S) == 0
    (producer.commit_transaction if committed else producer.abort_transaction)(CONDITION_TIMEOUT_S)


def tracker_lag(cluster: IntegrationCluster) -> int:
    """Return how many records the tracker has not processed yet."""
    with MeshInspector(cluster.environment, cluster.installation) as inspector:
        return next(stage.remaining for stage in inspector.stages() if stage.step == "tracker")
