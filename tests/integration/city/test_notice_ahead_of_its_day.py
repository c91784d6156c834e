"""A notice ahead of its day through the real stack: rows and case wait, also over a restart and a replay."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.apply.installation import ApplySettings
from infra.coding import codec
from schemas.tables import table_from_rows
from schemas.topics import PERSON_CHANGE
from tests.integration.city.life_events import A, B, Person, Population, Stores, ingest
from tests.integration.cluster import IntegrationCluster

TODAY = (datetime.now(UTC) + timedelta(hours=9)).date()
#: Far enough ahead for a test that begins before midnight.
AHEAD = TODAY + timedelta(days=3)
RECORDED: dict[str, Any] = {"recorded_on": TODAY.isoformat()}


@pytest.mark.proof
def test_a_move_out_ahead_of_its_day_closes_rows_on_it(cluster: IntegrationCluster, tmp_path: Path) -> None:
    """Nothing waits for it meanwhile, the case says until when, and a protection measure begins at once."""
    cluster.start_empty()
    population = Population(1)
    moving, staying, protected = (resident(population) for _ in range(3))
    moved = moving.notice(1, A, "転出", AHEAD, moved_to=B, **RECORDED)
    cancelled = staying.notice(1, A, "転出", AHEAD, moved_to=B, **RECORDED)
    protected.notice(1, A, "支援措置開始", AHEAD, **RECORDED)
    cancellation = staying.notice(2, A, "取消", TODAY, cancels=cancelled)
    ingest(cluster, population.persons, tmp_path)
    for command in ((), ("restart", "--all"), ("replay", "--yes")):
        run(cluster, *command)
        stores = Stores(cluster)
        for person in (moving, staying):
            row = stores.row(person, "local-tax", "person")
            assert (row["status"], row["address"] is not None) == ("active", True)
        row = stores.row(protected, "local-tax", "person")
        assert (row["status"], row["address"], row["effective_on"]) == ("active", None, AHEAD)
        assert case(cluster, moved) == ("waiting", AHEAD.isoformat(), 0)
        assert {case(cluster, number)[:2] for number in (cancelled, cancellation)} == {("complete", None)}
        assert cluster.mesh("cases", "list").stdout.count(moved) == 0
        assert summary(cluster) == {"complete": 5, "waiting": 2, "open": 0, "overdue": 0}
    begin(cluster, AHEAD - timedelta(days=1))
    assert Stores(cluster).row(moving, "local-tax", "person")["status"] == "active"
    begin(cluster, AHEAD)
    stores = Stores(cluster)
    row = stores.row(moving, "local-tax", "person")
    assert (row["status"], row["effective_on"], row["address"]) == ("closed", AHEAD, None)
    assert stores.row(staying, "local-tax", "person")["status"] == "active"
    assert case(cluster, moved) == ("complete", None, 1)
    assert summary(cluster) == {"complete": 7, "waiting": 0, "open": 0, "overdue": 0}
    assert cluster.dead_letters() == []
    assert cluster.rejections() == []


def resident(population: Population) -> Person:
    """Return a person registered at A."""
    person = population.person()
    person.registered(0, A, "初期登録", TODAY - timedelta(days=400))
    return person


def case(cluster: IntegrationCluster, number: str) -> tuple[str, str | None, int]:
    """Return what `mesh cases show` says of a case of A: status, until when it waits, and its number of changes."""
    process = cluster.mesh("cases", "show", A, number)
    assert process.returncode == 0, process.stderr
    shown = json.loads(process.stdout)
    return shown["status"], shown["waiting_until"], shown["changes"]


def summary(cluster: IntegrationCluster) -> dict[str, Any]:
    """Return the number of cases by status."""
    counts = json.loads(cluster.mesh("cases", "summary").stdout)
    return {status: counts[status] for status in ("complete", "waiting", "open", "overdue")}


def run(cluster: IntegrationCluster, *command: str) -> None:
    """Run a command of `mesh`, if any, and wait until it has had its effect."""
    if command:
        process = cluster.mesh(*command)
        assert process.returncode == 0, process.stderr
        cluster.wait_idle()


def begin(cluster: IntegrationCluster, day: date) -> None:
    """Let a day of the future begin in every partition, which no clock may submit, and wait until it is worked off."""
    origin = {"topic": "in.clock", "partition": 0, "offset": 0}
    row = {"person": "", "kind": "DAY_BEGUN", "effective_on": day, "origin": origin}
    table = table_from_rows("person-change", [row | {"seq": 0, "received_at": datetime.now(UTC)}])
    avro = codec(cluster.environment, cluster.installation)
    (value,) = avro.encode("person-change", table).to_pylist()
    producer = Producer(cluster.environment.kafka("admin"))
    for partition in range(ApplySettings().partitions):
        producer.produce(PERSON_CHANGE, value, b"", partition)
    assert producer.flush(30) == 0
    cluster.wait_idle()
