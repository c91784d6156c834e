"""A worker that can't go on says why, and ends with a code that a supervisor can act on."""

from __future__ import annotations

from pathlib import Path

from infra.run import background
from infra.run.background import start_workers
from streams.worker import ExitCode
from tests.integration.cluster import IntegrationCluster
from tests.integration.limits.conftest import Begin, frozen, with_secrets
from tests.samples import SMALL_CITY

END_S = 60.0


def test_a_step_with_a_wrong_password(place: IntegrationCluster, begin: Begin, tmp_path: Path) -> None:
    """It is not a broker that is away: no new start mends it, and it is said by name."""
    worker = begin("household", **with_secrets(place, tmp_path, {"household": "wrong"}))
    assert worker.process.wait(END_S) == ExitCode.DENIED
    (line,) = worker.events("worker.stopped")
    assert (line["error"], line["reason"]) == ("DeniedError", "_AUTHENTICATION")


def test_a_sink_with_a_wrong_password_of_the_broker(
    place: IntegrationCluster, begin: Begin, tmp_path: Path
) -> None:
    """Said by name, and tried again, as the others of its process go on."""
    worker = begin("sink", **with_secrets(place, tmp_path, {"sink.care": "wrong"}))
    worker.until_told("sink.stopped")
    line = worker.events("sink.stopped")[0]
    assert (line["domain"], line["error"], line["reason"]) == ("care", "DeniedError", "_AUTHENTICATION")
    assert worker.stopped(10.0) == 0


def test_a_sink_with_a_wrong_password_of_the_store(
    place: IntegrationCluster, begin: Begin, tmp_path: Path
) -> None:
    """It isn't a database that is away: said so at once, with the code of a missing right, as it is alone."""
    worker = begin("sink.care", **with_secrets(place, tmp_path, {"sink_care": "wrong"}))
    worker.until_told("sink.stopped")
    line = worker.events("sink.stopped")[0]
    assert (line["error"], line["reason"]) == ("StoreMisfitError", "the store answers not let in")
    assert worker.stopped(10.0) == 0


def test_a_broker_that_does_not_answer(place: IntegrationCluster, begin: Begin) -> None:
    """It ends when it has tried for as long as it is told; its supervisor goes on trying, however long."""
    with frozen(place, "kafka"):
        worker = begin("household", MESH_RECOVERY_TIMEOUT_S="6")
        assert worker.process.wait(END_S) == ExitCode.UNAVAILABLE
    (line,) = worker.events("worker.stopped")
    assert line["error"] == "UnavailableError"
    assert line["reason"].startswith("init_transactions")


def test_without_a_registry_workers_start_and_run(place: IntegrationCluster) -> None:
    """All they need of it stands in a file since they were applied."""
    try:
        with frozen(place, "registry"):
            start_workers(place.environment, place.installation)
            place.take_in(SMALL_CITY / "juki_131041.csv")
            place.settle()
            assert place.table("local_tax", "person")
    finally:
        background.stop(place.installation)
