"""The clock on real servers: a day reaches every partition, also in a replay, and `mesh wait --idle` waits for it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra.apply.installation import ApplySettings
from infra.clock.source import file_of, last_submitted
from infra.coding import codec
from infra.run import background
from infra.run.background import start_workers
from infra.triage.records import read_rows
from schemas.systems import CLOCK
from schemas.topics import PERSON_CHANGE, input_topic, state_topic
from tests.integration.cluster import IntegrationCluster, wait_until

TOPIC = input_topic(CLOCK)


@pytest.mark.proof
def test_a_day_reaches_every_partition(cluster: IntegrationCluster) -> None:
    """Intake alone runs at first: the copies of the day count as unprocessed, until fan-out has read them."""
    cluster.reset()
    start_workers(cluster.environment, cluster.installation, steps=("intake",))
    process = cluster.mesh("clock", "--once")
    today = submitted_day(cluster)
    assert (process.returncode, process.stdout) == (0, f"submitted: {today}\n"), process.stderr
    wait_until("intake has read the day", lambda: cluster.remaining("intake") == 0)
    assert cluster.remaining("fan-out") >= partitions()
    background.stop(cluster.installation)
    start_workers(cluster.environment, cluster.installation)
    cluster.wait_idle()
    assert cluster.remaining("fan-out") == 0
    assert days_begun(cluster) == [today] * partitions()
    assert days_of_partitions(cluster) == [today] * partitions()
    assert "no day has begun" in cluster.mesh("clock", "--once").stdout
    replay = cluster.mesh("replay", "--yes")
    assert replay.returncode == 0, replay.stderr
    assert days_of_partitions(cluster) == [today] * partitions()
    assert cluster.rejections() == []


def test_a_day_of_the_future_is_rejected_for_good(cluster: IntegrationCluster, tmp_path: Path) -> None:
    """A machine whose clock is ahead submits it: no partition has it, and no command submits it again."""
    cluster.reset()
    start_workers(cluster.environment, cluster.installation, steps=("intake",))
    file = tmp_path / "days.jsonl"
    file.write_text('{"day": "2999-12-31"}\n')
    assert cluster.mesh("ingest", "events", "--system", CLOCK, file).returncode == 0
    wait_until("intake has read the day", lambda: cluster.remaining("intake") == 0)
    (rejection,) = cluster.rejections()
    assert (rejection["code"], rejection["topic"]) == ("DAY_IN_FUTURE", TOPIC)
    assert days_begun(cluster) == []
    resubmission = cluster.mesh("rejected", "resubmit", rejection["id"])
    assert resubmission.returncode == 2
    assert "can't be resubmitted" in resubmission.stderr


@pytest.mark.proof
def test_the_clock_runs_with_the_workers(cluster: IntegrationCluster) -> None:
    """`mesh status` shows it, and `mesh restart` restarts it; a restart submits no day again."""
    cluster.start_empty()
    wait_until("the day is submitted", lambda: cluster.submissions_by_topic().get(TOPIC))
    cluster.wait_idle()
    before = clock_worker(cluster)
    assert before["state"] == "running"
    assert before["partitions"] == []
    restarted = cluster.mesh("restart", "--all")
    assert restarted.returncode == 0, restarted.stderr
    assert f"{CLOCK}.0 restarted" in restarted.stdout
    after = clock_worker(cluster)
    assert after["state"] == "running"
    assert after["pid"] != before["pid"]
    cluster.wait_idle()
    assert days_of_partitions(cluster) == [submitted_day(cluster)] * partitions()


def partitions() -> int:
    """Return the number of partitions of keyed topics."""
    return ApplySettings().partitions


def submitted_day(cluster: IntegrationCluster) -> date:
    """Return the last day that the clock has submitted."""
    day = last_submitted(file_of(cluster.installation))
    assert day is not None
    return day


def days_begun(cluster: IntegrationCluster) -> list[date]:
    """Return the days that intake has written to partitions of `person.change`."""
    return [row["effective_on"] for row in rows(cluster, "person-change", PERSON_CHANGE)]


def days_of_partitions(cluster: IntegrationCluster) -> list[date]:
    """Return the days that partitions of fan-out have reached."""
    return [row["day"] for row in rows(cluster, "state-fan-out-clock", state_topic("fan-out", "clock"))]


def rows(cluster: IntegrationCluster, schema: str, topic: str) -> list[dict[str, Any]]:
    """Return the records of a topic."""
    return read_rows(cluster.environment, codec(cluster.environment, cluster.installation), schema, [topic])


def clock_worker(cluster: IntegrationCluster) -> dict[str, Any]:
    """Return the clock as `mesh status` shows it."""
    status = json.loads(cluster.mesh("status", "--json").stdout)
    (worker,) = [worker for worker in status["workers"] if worker["step"] == CLOCK]
    return dict(worker)
