"""A worker that can't continue logs the reason, and ends with an exit code that tells the supervisor what to do."""

from __future__ import annotations

from pathlib import Path

from infra.run import background
from infra.run.background import start_workers
from streams.worker import ExitCode
from tests.integration.cluster import IntegrationCluster
from tests.integration.limits.conftest import StartWorker, frozen, with_secrets
from tests.samples import SMALL_CITY

EXIT_TIMEOUT_S = 60.0


def test_a_step_with_a_wrong_password(
    cluster: IntegrationCluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The error is named, unlike that of an unavailable broker: a restart would not help."""
    worker = start_worker("household", **with_secrets(cluster, tmp_path, {"household": "wrong"}))
    assert worker.process.wait(EXIT_TIMEOUT_S) == ExitCode.DENIED
    (line,) = worker.events("worker.stopped")
    assert (line["error"], line["reason"]) == ("DeniedError", "_AUTHENTICATION")


def test_a_sink_with_a_wrong_kafka_password(
    cluster: IntegrationCluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The error is named and the sink is retried, because the other sinks of the process continue."""
    worker = start_worker("sink", **with_secrets(cluster, tmp_path, {"sink.care": "wrong"}))
    worker.wait_for_event("sink.stopped")
    line = worker.events("sink.stopped")[0]
    assert (line["domain"], line["error"], line["reason"]) == ("care", "DeniedError", "_AUTHENTICATION")
    assert worker.stop(10.0) == 0


def test_a_sink_with_a_wrong_postgresql_password(
    cluster: IntegrationCluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The error is named at once as a missing privilege, unlike that of an unavailable database."""
    worker = start_worker("sink.care", **with_secrets(cluster, tmp_path, {"sink_care": "wrong"}))
    worker.wait_for_event("sink.stopped")
    line = worker.events("sink.stopped")[0]
    assert (line["error"], line["reason"]) == ("StoreSchemaError", "the store reports login rejected")
    assert worker.stop(10.0) == 0


def test_a_broker_that_does_not_answer(cluster: IntegrationCluster, start_worker: StartWorker) -> None:
    """The worker ends after its recovery timeout; the supervisor restarts it however often."""
    with frozen(cluster, "kafka"):
        worker = start_worker("household", MESH_RECOVERY_TIMEOUT_S="6")
        assert worker.process.wait(EXIT_TIMEOUT_S) == ExitCode.UNAVAILABLE
    (line,) = worker.events("worker.stopped")
    assert line["error"] == "UnavailableError"
    assert line["reason"].startswith("key.fingerprint")


def test_workers_start_and_run_without_a_registry(cluster: IntegrationCluster) -> None:
    """`mesh apply` has written all that workers need of the registry to a file."""
    try:
        with frozen(cluster, "registry"):
            start_workers(cluster.environment, cluster.installation)
            cluster.ingest(SMALL_CITY / "juki_131041.csv")
            cluster.wait_idle()
            assert cluster.table("local_tax", "person")
    finally:
        background.stop(cluster.installation)
