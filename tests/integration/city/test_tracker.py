"""The tracker on the log as steps leave it: written by transactions, some of them aborted."""

from __future__ import annotations

from datetime import UTC, date, datetime

from confluent_kafka import Producer

from infra.codec import codec
from infra.monitoring.stages import MeshInspector
from infra.run.background import start_workers
from schemas.tables import table_from_rows
from schemas.topics import CASE_OPENED, transactional_id
from tests.integration.cluster import CONDITION_TIMEOUT_S, IntegrationCluster, until

STEP = "household"


def test_markers_and_aborted_records_hold_nothing_up(place: IntegrationCluster) -> None:
    """A partition that begins with one record and an aborted transaction is read, and committed, to its end."""
    place.forget()
    producer = Producer({**place.environment.kafka(STEP), "transactional.id": transactional_id(STEP, 0)})
    producer.init_transactions(CONDITION_TIMEOUT_S)
    for number, committed in enumerate((True, False, True, True)):
        open_case(place, producer, str(number), committed=committed)
    start_workers(place.environment, place.installation, steps=("tracker",))
    until(lambda: not left(place), "the tracker has committed all there is")


def open_case(place: IntegrationCluster, producer: Producer, notice: str, *, committed: bool) -> None:
    """One transaction of one record, to the first partition."""
    row = {
        "case": {"municipality": "131041", "notice": notice},
        "reason": "MOVED_IN",
        "effective_on": date(2026, 4, 1),
        "persons": 1,
        "received_at": datetime(2026, 4, 1, tzinfo=UTC),
    }
    shared = codec(place.environment, place.installation)
    (value,) = shared.encode("case-opened", table_from_rows("case-opened", [row])).to_pylist()
    producer.begin_transaction()
    producer.produce(CASE_OPENED, value, notice.encode(), 0)
    assert producer.flush(CONDITION_TIMEOUT_S) == 0
    (producer.commit_transaction if committed else producer.abort_transaction)(CONDITION_TIMEOUT_S)


def left(place: IntegrationCluster) -> int:
    """Records that the tracker still has before it."""
    with MeshInspector(place.environment, place.installation) as look:
        return next(stage.remaining for stage in look.stages() if stage.step == "tracker")
