"""Whole cities through real servers and real workers: what the stores hold in the end, whatever happens on the way."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

from infra.apply.reconcile import TRACKER_TOKEN
from infra.run.slots import RUN_STEPS
from infra.run.supervisor import WorkerState, supervised
from infra.store_contents import digest, holdings
from infra.tracker.client import Tracker
from infra.verification.reference import compare, expected
from infra.verification.synthetic.writing import write_city
from schemas.topics import AUDITOR
from tests.integration.cities import cancellations, files_of, held, wanted
from tests.integration.cluster import IntegrationCluster, until
from tests.samples import SAMPLES


def test_city_with_one_worker_whatever_comes_first(place: IntegrationCluster) -> None:
    """Events and enrolments first, then JSON Lines, then CSV: the stores hold what expected.json says, and no more."""
    folder = SAMPLES / "city"
    place.begin_anew(workers=1)
    place.take_in(*reversed(files_of(folder)))
    place.settle()
    assert_as_wanted(place, folder)


def test_city_with_four_workers_and_every_file_twice(place: IntegrationCluster) -> None:
    """Four workers of each step, JSON Lines and enrolments first, every file handed over twice: the same."""
    folder = SAMPLES / "city-2"
    place.begin_anew(workers=4)
    files = files_of(folder)[::-1]
    place.take_in(*(file for each in files for file in (each, each)))
    place.settle()
    assert_as_wanted(place, folder)
    twice = expected([file for each in files for file in (each, each)])
    reported = place.refusals(duplicates=True)
    assert sum(row["kind"] == "DUPLICATE" for row in reported) == len(twice.duplicates)


def test_replay_derives_the_same(place: IntegrationCluster) -> None:
    """Stores, state and derived topics forgotten, and derived again from the in. topics: the same digest."""
    folder = SAMPLES / "city"
    place.begin_anew(workers=1)
    place.take_in(*files_of(folder))
    place.settle()
    before = digest(place.environment.dsn(AUDITOR))
    replayed = place.mesh("replay", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    assert digest(place.environment.dsn(AUDITOR)) == before
    assert_as_wanted(place, folder)


def test_killed_workers_change_nothing(place: IntegrationCluster, tmp_path: Path) -> None:
    """One worker of each step is killed with records before it; stores and cases come out as if none had been."""
    write_city(tmp_path / "synthetic", 2_000, 20, seed=7)
    files = files_of(tmp_path / "synthetic")
    place.begin_anew(workers=1)
    assert len(files) >= len(RUN_STEPS)
    for file, step in zip(files, RUN_STEPS, strict=False):
        kill_at_work(place, step, file)
    place.take_in(*files[len(RUN_STEPS) :])
    place.settle()
    model, refused = expected(files), cancellations(place.refusals())
    assert not compare(model, replace(holdings(place.environment.dsn(AUDITOR)), refused=refused))
    assert not place.dead_letters()
    assert_cases_complete(place, model.accepted.total())


def assert_as_wanted(place: IntegrationCluster, folder: Path) -> None:
    """Stores and refusals as the city's expected.json, accounts and conflicts by the reference model, no more."""
    holding = holdings(place.environment.dsn(AUDITOR))
    actual = held(holding, cancellations(place.refusals()))
    for part, right in wanted(folder).items():
        assert actual[part] == right, part
    model = expected(files_of(folder))
    assert not compare(model, holding)
    found = place.conflicts()
    accounts = [row for row in found if row["kind"].startswith("ACCOUNT_")]
    idle = [row for row in found if row not in accounts]
    assert {row["kind"] for row in idle} <= {"ENROLMENT_WITHOUT_RESIDENT"}
    of_enrolments = ((row["domain"], row["municipality"], str(row["effective_on"])) for row in idle)
    assert Counter(of_enrolments) == model.conflicts
    of_accounts = ((row["kind"], str(row["effective_on"])) for row in accounts)
    assert Counter(of_accounts) == model.account_conflicts
    assert not place.dead_letters()


def assert_cases_complete(place: IntegrationCluster, accepted: int) -> None:
    """The tracker, asked over HTTP, has every accepted notice as a case that is complete."""
    token = place.environment.secrets().password(TRACKER_TOKEN).get_secret_value()
    tracker = Tracker(place.installation.folder, token)
    until(lambda: tracker.summary()["complete"] == accepted, "cases are complete")
    summary = tracker.summary()
    assert (summary["open"], summary["overdue"]) == (0, 0)


def kill_at_work(place: IntegrationCluster, step: str, file: Path) -> None:
    """Hand a file over while a step's worker is frozen, and kill -9 it once it has begun; return when it is back."""
    before = worker(place, step)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    place.take_in(file)
    until(lambda: place.left_before(step) > 0, f"something is before {step}")
    waiting = place.left_before(step)
    os.kill(before.pid, signal.SIGCONT)
    until(lambda: place.left_before(step) != waiting, f"{step} has begun")
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: worker(place, step).restarts > before.restarts, f"{step} is noticed to be dead")


def worker(place: IntegrationCluster, step: str) -> WorkerState:
    """The first worker of a step, as its supervisor knows it."""
    found = supervised(place.installation)
    assert found is not None
    return next(each for each in found.workers if each.step == step)
