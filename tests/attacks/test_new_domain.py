"""`mesh apply` with a new domain beside running workers: intake died twice, and fan-out, which went on with the old
rules, made dead letters. All tests share an installation with two running workers of each step.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import orjson
import psutil
import psycopg
import pytest

from infra.run.rolling_restart import READERS_FIRST
from infra.run.slots import Slot
from infra.run.supervisor import RunningSupervisor, running_supervisor
from infra.run.topology import INPUTS
from infra.run.worker import heartbeat_file
from schemas.topics import AUDITOR
from streams.clients import subscribed
from tests.attacks.installed_copy import InstalledCopy
from tests.integration.cluster import IntegrationCluster, selected, wait_until
from tests.samples import SAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

CITY = SAMPLES / "city"
NAMES = ["業務", "市区町村コード", "住民票コード", "開始日"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> InstalledCopy:
    """Return a copy of the code."""
    return InstalledCopy.create(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def running(servers: IntegrationCluster, copy: InstalledCopy) -> Iterator[IntegrationCluster]:
    """Yield servers on which two workers of each step of the copy have processed the registers of a city."""
    with selected(servers):
        servers.reset()
        up = copy.mesh("up", "--workers", "2")
        assert up.returncode == 0, up.stderr
        ingest = copy.mesh("ingest", "juki-cs", *sorted(CITY.glob("juki_*.csv")))
        assert ingest.returncode == 0, ingest.stderr
        yield servers


def supervisor_of(cluster: IntegrationCluster) -> RunningSupervisor:
    """Return the supervisor of the copy."""
    supervisor = running_supervisor(cluster.installation)
    assert supervisor is not None
    return supervisor


def library_enrolments(folder: Path) -> Path:
    """Write the enrolments of pension for the new domain, and return the file."""
    file = folder / "enrolments.csv"
    with (CITY / "enrolments.csv").open(encoding="utf-8-sig", newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["業務"] == "pension"]
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, NAMES)
        writer.writeheader()
        writer.writerows({**row, "業務": "library"} for row in rows)
    assert rows
    return file


def failures(cluster: IntegrationCluster) -> list[str]:
    """Return the log lines by which workers say that they ended because of an error."""
    lines = [
        line
        for log in cluster.installation.logs_folder.glob("*.log")
        for line in log.read_text("utf-8").splitlines()
    ]
    return [line for line in lines if '"worker.failed"' in line or '"worker.stopped"' in line]


def test_intake_reads_no_topic_of_a_system_that_it_does_not_know() -> None:
    """It died of the topic alone, before anything was published on it."""
    assert subscribed("in.pension", INPUTS["intake"])
    assert subscribed("in.juki.131041", INPUTS["intake"])
    assert subscribed("in.juki-cs.131041", INPUTS["intake"])
    assert not subscribed("in.library", INPUTS["intake"])
    assert not subscribed("in.pension-fund", INPUTS["intake"])


@pytest.mark.proof
def test_a_new_domain_beside_running_workers(
    running: IntegrationCluster, copy: InstalledCopy, tmp_path: Path
) -> None:
    """Every worker is of the new generation afterwards, none died, and the new domain has its rows."""
    before = supervisor_of(running)
    copy.add_domain("library")
    status = copy.mesh("status")
    assert copy.generation() in status.stdout, "the workers are of another generation"

    applied = copy.mesh("apply")

    assert applied.returncode == 0, applied.stderr
    ingest = copy.mesh("ingest", "enrolments", library_enrolments(tmp_path))
    assert ingest.returncode == 0, ingest.stderr
    idle = copy.mesh("wait", "--idle", "--timeout", "150")
    assert idle.returncode == 0, idle.stderr
    assert failures(running) == []
    assert orjson.loads(copy.mesh("status", "--json").stdout)["dlq"] == {}
    with psycopg.connect(running.environment.dsn(AUDITOR)) as connection:
        rows = connection.execute("SELECT count(*) FROM library.person").fetchone()
    assert rows is not None
    assert rows[0] > 0
    after = supervisor_of(running)
    assert {worker.generation for worker in after.workers} == {copy.generation()}
    assert after.pid == before.pid
    restarts = [new.restarts - old.restarts for old, new in zip(before.workers, after.workers, strict=True)]
    assert set(restarts) == {1}
    assert copy.mesh("apply").stdout.count("restarted") == 0, "the second has nothing to restart"


@pytest.mark.proof
def test_a_killed_worker_comes_back_with_the_installed_code(
    running: IntegrationCluster, copy: InstalledCopy
) -> None:
    """Also where a prewarmed process waits that has loaded the code of before."""
    supervisor = supervisor_of(running)
    wait_until("a process is prewarmed", lambda: is_prewarmed(supervisor.pid))
    copy.replace("infra/run/slots.py", "WORKERS_MAX: Final = 32", "WORKERS_MAX: Final = 31")
    victim = next(worker for worker in supervisor.workers if worker.step == "household" and worker.slot == 1)
    assert victim.pid is not None
    psutil.Process(victim.pid).kill()

    def generation() -> str:
        workers = supervisor_of(running).workers
        worker = next(each for each in workers if (each.step, each.slot) == (victim.step, victim.slot))
        return worker.generation if worker.pid not in {None, victim.pid} else ""

    wait_until("the worker runs again", generation)
    assert generation() == copy.generation()


@pytest.mark.proof
def test_workers_are_restarted_one_at_a_time(running: IntegrationCluster, copy: InstalledCopy) -> None:
    """Readers come before writers, and no more than one worker is away at any moment."""
    away: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        restart = pool.submit(copy.mesh, "restart", "--all")
        while not wait([restart], timeout=0.05).done:
            away.append(number_away(running))
    process = restart.result()
    assert process.returncode == 0, process.stderr
    restarted = [line.split(".")[0] for line in process.stdout.splitlines() if line.endswith(" restarted")]
    assert restarted == sorted(restarted, key=READERS_FIRST.index)
    assert len(restarted) == len(supervisor_of(running).workers)
    assert max(away) == 1
    assert failures(running) == []


def is_prewarmed(supervisor: int) -> bool:
    """Return whether a process waits for a slot."""
    return any("prewarm" in child.cmdline() for child in psutil.Process(supervisor).children())


def number_away(cluster: IntegrationCluster) -> int:
    """Return how many workers process nothing now, by their heartbeats; not all steps have them."""
    number = 0
    for worker in supervisor_of(cluster).workers:
        if worker.step not in {"sink", "tracker", "clock"}:
            slot = Slot(worker.step, worker.slot)
            heartbeat = orjson.loads(heartbeat_file(cluster.installation, slot).read_bytes())
            number += heartbeat["pid"] != worker.pid or heartbeat["state"] != "running"
    return number
