"""A check that workers, changelogs and workers restored after a kill have the same state."""

from __future__ import annotations

import os
import signal

import orjson

from infra.monitoring.state_inspection import STATEFUL
from infra.run import background
from infra.run.supervisor import running_supervisor
from tests.integration.cluster import CONDITION_TIMEOUT_S, IntegrationCluster


def logged(cluster: IntegrationCluster, step: str, event: str) -> dict[int, str]:
    """Return the digest of each partition in the last log line with this event."""
    *complete, _ = (cluster.installation.logs_folder / f"{step}.0.log").read_bytes().split(b"\n")
    lines = [orjson.loads(line) for line in complete if line.startswith(b"{")]
    return {line["partition"]: line["digest"] for line in lines if line["event"] == event}


def changelog_digests(cluster: IntegrationCluster) -> dict[str, dict[int, str]]:
    """Return the digests that `mesh state` prints, by step and partition."""
    process = cluster.mesh("state", "--json")
    assert process.returncode == 0, process.stderr
    digests: dict[str, dict[int, str]] = {step: {} for step in STATEFUL}
    for line in map(orjson.loads, process.stdout.splitlines()):
        assert line["entries"] > 0 < line["bytes"]
        digests[line["step"]][line["partition"]] = line["digest"]
    return digests


def assert_digests_survive_a_kill(cluster: IntegrationCluster) -> None:
    """Compare each partition of idle workers with its changelog, and again after a kill of each stateful worker."""
    before = changelog_digests(cluster)
    assert before["household"]
    assert before["fan-out"]
    for step in STATEFUL:
        committed = logged(cluster, step, "batch.committed")
        assert committed == before[step]
        kill(cluster, step, len(logged(cluster, step, "state.restored")))
    assert changelog_digests(cluster) == before
    for step in STATEFUL:
        restored = logged(cluster, step, "state.restored")
        assert {number: restored[number] for number in before[step]} == before[step]


def kill(cluster: IntegrationCluster, step: str, partitions: int) -> None:
    """Kill a step's worker; return when the next one has restored `partitions` partitions."""
    log = cluster.installation.logs_folder / f"{step}.0.log"
    done = log.read_bytes().count(b'"state.restored"')
    supervisor = running_supervisor(cluster.installation)
    assert supervisor is not None
    pid = next(worker.pid for worker in supervisor.workers if worker.step == step)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    def restored() -> bool:
        return log.read_bytes().count(b'"state.restored"') >= done + partitions

    background.wait_ready(cluster.installation, (), restored, CONDITION_TIMEOUT_S)
