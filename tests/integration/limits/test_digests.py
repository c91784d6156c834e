"""The state that workers have, the one that changelogs hold, and the one that is restored after a kill are the same."""

from __future__ import annotations

import os
import signal

import orjson

from infra.monitoring.state_inspection import STATEFUL
from infra.run import background
from infra.run.background import start_workers
from infra.run.supervisor import supervised
from tests.integration.cluster import CONDITION_TIMEOUT_S, IntegrationCluster
from tests.samples import SMALL_CITY


def logged(place: IntegrationCluster, step: str, event: str) -> dict[int, str]:
    """The last digest of each partition that the step's worker logged with this event."""
    *written, _ = (place.installation.logs / f"{step}.0.log").read_bytes().split(b"\n")
    lines = [orjson.loads(line) for line in written if line.startswith(b"{")]
    return {line["partition"]: line["digest"] for line in lines if line["event"] == event}


def kept(place: IntegrationCluster) -> dict[str, dict[int, str]]:
    """What `mesh state` shows."""
    ended = place.mesh("state", "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, dict[int, str]] = {step: {} for step in STATEFUL}
    for line in map(orjson.loads, ended.stdout.splitlines()):
        assert line["entries"] > 0 < line["bytes"]
        found[line["step"]][line["partition"]] = line["digest"]
    return found


def test_workers_changelogs_and_restorations_agree(place: IntegrationCluster) -> None:
    """By partition, after a city went through; a worker that is killed has it back to the last entry."""
    try:
        start_workers(place.environment, place.installation)
        place.take_in(SMALL_CITY / "juki_141097.csv", SMALL_CITY / "notices_131130.jsonl")
        place.settle()
        before = kept(place)
        assert before["household"]
        assert before["fan-out"]
        for step in STATEFUL:
            committed = logged(place, step, "batch.committed")
            assert committed == before[step]
            kill(place, step, len(logged(place, step, "state.restored")))
        assert kept(place) == before
        for step in STATEFUL:
            restored = logged(place, step, "state.restored")
            assert {number: restored[number] for number in before[step]} == before[step]
    finally:
        background.stop(place.installation)


def kill(place: IntegrationCluster, step: str, partitions: int) -> None:
    """kill -9 of a step's worker; returns when the next one has restored as many partitions."""
    log = place.installation.logs / f"{step}.0.log"
    done = log.read_bytes().count(b'"state.restored"')
    found = supervised(place.installation)
    assert found is not None
    pid = next(worker.pid for worker in found.workers if worker.step == step)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    def restored() -> bool:
        return log.read_bytes().count(b'"state.restored"') >= done + partitions

    background.wait_ready(place.installation, (), restored, CONDITION_TIMEOUT_S)
