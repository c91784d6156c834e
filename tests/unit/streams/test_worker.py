"""A worker runs until a signal or an error stops it, and ends with the exit code for its supervisor."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaException
from structlog.testing import capture_logs

from schemas.tables import table_from_rows
from schemas.topics import group, transactional_id
from streams.errors import (
    BrokenStepError,
    DeniedError,
    FencedError,
    LostRecordsError,
    StateError,
    StoppedError,
    UnavailableError,
)
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.testing.driver import SEALER
from streams.testing.memory_log import MemoryClients, MemoryLog
from streams.worker import ExitCode, Worker
from tests.unit.streams import toys
from tests.unit.streams.failures import ERRORS


class InterruptedPipeline(Pipeline):
    """The pipeline of `double` on an empty log; the third run raises an error, or sends a signal to this process."""

    def __init__(self, interruption: Exception | signal.Signals) -> None:
        step = toys.steps()[0]
        clients = MemoryClients(MemoryLog(), group(step.name), transactional_id(step.name, 0))
        super().__init__(step, clients, Coding(toys.CODEC, SEALER), PipelineSettings(), lambda: 0.0)
        self._interruption, self.runs, self.closed = interruption, 0, False

    def run_once(self) -> int:
        """Run, or raise."""
        self.runs += 1
        if self.runs == 3:
            if isinstance(self._interruption, Exception):
                raise self._interruption
            os.kill(os.getpid(), self._interruption)
        return super().run_once()

    def close(self) -> None:
        """Close the clients."""
        self.closed = True
        super().close()


def run_until_interrupted(
    interruption: Exception | signal.Signals, heartbeat: Path
) -> tuple[ExitCode, InterruptedPipeline, dict[str, Any]]:
    """Run a worker; return its exit code, its pipeline and its last heartbeat."""
    pipeline = InterruptedPipeline(interruption)
    code = Worker(0, lambda: pipeline, "double", heartbeat).run()
    return code, pipeline, orjson.loads(heartbeat.read_bytes())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_worker_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    """The current run is the last; clients are closed, and the previous signal handlers are installed again."""
    handler = signal.getsignal(number)
    code, pipeline, heartbeat = run_until_interrupted(number, tmp_path / "heartbeat.json")
    assert (code, pipeline.runs, pipeline.closed) == (ExitCode.STOPPED, 3, True)
    assert (heartbeat["state"], heartbeat["exit_code"], heartbeat["pid"]) == ("ended", 0, os.getpid())
    assert signal.getsignal(number) is handler


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnavailableError("x"), ExitCode.UNAVAILABLE),
        (FencedError("x"), ExitCode.FENCED),
        (DeniedError("x"), ExitCode.DENIED),
        (BrokenStepError("x"), ExitCode.BROKEN_STEP),
        (StateError("x"), ExitCode.STATE),
        (LostRecordsError("x"), ExitCode.LOST_RECORDS),
        (StoppedError("x"), ExitCode.CLIENT),
        (ValueError("a name, an address"), ExitCode.UNEXPECTED),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, expected: ExitCode, tmp_path: Path) -> None:
    """The supervisor decides by the code whether to restart; the text of an unexpected error isn't logged."""
    with capture_logs() as logs:
        code, pipeline, heartbeat = run_until_interrupted(error, tmp_path / "heartbeat.json")
    assert (code, heartbeat["exit_code"], pipeline.closed) == (expected, expected.value, True)
    assert "address" not in repr(logs)


def test_a_stopping_worker_does_not_recover_from_a_failed_commit(tmp_path: Path) -> None:
    """It ends at once: the slot's next worker fences it, which ends the transaction."""
    log = MemoryLog()

    def create_pipeline() -> Pipeline:
        clients = MemoryClients(log, group("double"), transactional_id("double", 0))
        return Pipeline(toys.steps()[0], clients, Coding(toys.CODEC, SEALER), PipelineSettings(), lambda: 0.0)

    worker = Worker(0, create_pipeline, "double", tmp_path / "heartbeat.json")
    calls: list[str] = []

    def stop_during_commit(call: str, when: str) -> None:
        calls.append(call)
        if call == "commit_transaction":
            worker.stop()
            raise KafkaException(ERRORS["timeout"]())

    log.on_call = stop_during_commit
    table = table_from_rows("item", toys.items([("a", 1)]), toys.CATALOGUE)
    (value,) = toys.CODEC.encode("item", table).to_pylist()
    log.append("in.item", b"a", value)
    assert worker.run() == ExitCode.STOPPED
    assert calls[-1] == "commit_transaction"
    assert log.committed == {}
