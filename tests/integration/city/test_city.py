"""Whole cities through real servers and workers: the stores have the expected contents whatever happens on the way."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from infra.apply.reconcile import TRACKER_TOKEN
from infra.run.slots import RUN_STEPS
from infra.run.supervisor import WorkerState, running_supervisor
from infra.store_contents import digest, read_stores
from infra.tracker.client import Tracker
from infra.verification.reference import compare, expected
from infra.verification.synthetic.writing import write_city
from schemas.systems import CLOCK
from schemas.topics import AUDITOR
from tests.integration.cities import actual_contents, expected_contents, files_of, rejected_cancellations
from tests.integration.city.digests import assert_digests_survive_a_kill
from tests.integration.cluster import IntegrationCluster, wait_until
from tests.samples import SAMPLES


def test_a_city_in_reverse_order_and_its_replay(cluster: IntegrationCluster) -> None:
    """Events and enrolments first, then JSON Lines, then CSV: the stores have exactly the rows of expected.json.

    Workers, changelogs and workers that are restored after a kill have the same state. Then stores, state and derived
    topics are deleted and derived again from the input topics: the stores' digest is the same.
    """
    folder = SAMPLES / "city"
    cluster.start_empty(workers=1)
    cluster.ingest(*reversed(files_of(folder)))
    cluster.wait_idle()
    assert_as_expected(cluster, folder)
    assert_digests_survive_a_kill(cluster)
    before = digest(cluster.environment.dsn(AUDITOR))
    process = cluster.mesh("replay", "--yes")
    assert process.returncode == 0, process.stderr
    assert digest(cluster.environment.dsn(AUDITOR)) == before
    assert_as_expected(cluster, folder)


@pytest.mark.proof
def test_a_city_with_four_workers_and_every_file_twice(cluster: IntegrationCluster) -> None:
    """With four workers of each step and every file ingested twice, the stores have the rows of expected.json."""
    folder = SAMPLES / "city-2"
    cluster.start_empty(workers=4)
    files = files_of(folder)[::-1]
    cluster.ingest(*(copy for file in files for copy in (file, file)))
    cluster.wait_idle()
    assert_as_expected(cluster, folder)
    twice = expected([copy for file in files for copy in (file, file)])
    reported = cluster.rejections(duplicates=True)
    assert sum(row["kind"] == "DUPLICATE" for row in reported) == len(twice.duplicates)


@pytest.mark.proof
def test_killed_workers_change_nothing(cluster: IntegrationCluster, tmp_path: Path) -> None:
    """Kill one worker of each step while it has records to process: stores and cases are as without the kills."""
    steps = [step for step in RUN_STEPS if step != CLOCK]
    write_city(tmp_path / "synthetic", 2_000, 20, seed=7)
    files = files_of(tmp_path / "synthetic")
    cluster.start_empty(workers=1)
    assert len(files) >= len(steps)
    for file, step in zip(files, steps, strict=False):
        kill_while_processing(cluster, step, file)
    cluster.ingest(*files[len(steps) :])
    cluster.wait_idle()
    model, rejected = expected(files), rejected_cancellations(cluster.rejections())
    assert not compare(
        model, replace(read_stores(cluster.environment.dsn(AUDITOR)), rejected_cancellations=rejected)
    )
    assert not cluster.dead_letters()
    assert_cases_complete(cluster, model.accepted.total())


def assert_as_expected(cluster: IntegrationCluster, folder: Path) -> None:
    """Check stores and rejections against expected.json, accounts and conflicts against the reference model."""
    stores = read_stores(cluster.environment.dsn(AUDITOR))
    actual = actual_contents(stores, rejected_cancellations(cluster.rejections()))
    for part, expected_part in expected_contents(folder).items():
        assert actual[part] == expected_part, part
    model = expected(files_of(folder))
    assert not compare(model, stores)
    conflicts = cluster.conflicts()
    accounts = [row for row in conflicts if row["kind"].startswith("ACCOUNT_")]
    enrolments = [row for row in conflicts if row["kind"] == "ENROLMENT_WITHOUT_RESIDENT"]
    departures = [row for row in conflicts if row not in accounts and row not in enrolments]
    assert {row["kind"] for row in departures} <= {"DEPARTED_NOT_ARRIVED"}
    departed = (
        (row["municipality"], row["other_municipality"], str(row["effective_on"])) for row in departures
    )
    assert Counter(departed) == model.departed
    enrolment_conflicts = (
        (row["domain"], row["municipality"], str(row["effective_on"])) for row in enrolments
    )
    assert Counter(enrolment_conflicts) == model.conflicts
    account_conflicts = ((row["kind"], str(row["effective_on"])) for row in accounts)
    assert Counter(account_conflicts) == model.account_conflicts
    assert not cluster.dead_letters()


def assert_cases_complete(cluster: IntegrationCluster, accepted: int) -> None:
    """Check over HTTP that the tracker has a complete case for each accepted notice."""
    token = cluster.environment.secrets().password(TRACKER_TOKEN).get_secret_value()
    tracker = Tracker(cluster.installation.folder, token)
    wait_until("cases are complete", lambda: tracker.summary()["complete"] == accepted)
    summary = tracker.summary()
    assert (summary["open"], summary["overdue"]) == (0, 0)


def kill_while_processing(cluster: IntegrationCluster, step: str, file: Path) -> None:
    """Ingest a file while a step's worker is frozen, kill it when it has begun, and wait for its restart."""
    before = worker(cluster, step)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    cluster.ingest(file)
    wait_until(f"{step} has records to process", lambda: cluster.remaining(step) > 0)
    remaining = cluster.remaining(step)
    os.kill(before.pid, signal.SIGCONT)
    wait_until(f"{step} has begun", lambda: cluster.remaining(step) != remaining)
    os.kill(before.pid, signal.SIGKILL)
    wait_until(f"{step} is restarted", lambda: worker(cluster, step).restarts > before.restarts)


def worker(cluster: IntegrationCluster, step: str) -> WorkerState:
    """Return the state of the first worker of a step, as its supervisor reports it."""
    supervisor = running_supervisor(cluster.installation)
    assert supervisor is not None
    return next(state for state in supervisor.workers if state.step == step)
