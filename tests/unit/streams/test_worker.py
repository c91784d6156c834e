"""A worker runs until told to stop, and says why it ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException
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


class Turned(Pipeline):
    """A pipeline on a log in memory that raises, or gets a signal, at its third turn."""

    def __init__(self, then: Any) -> None:
        step = toys.steps()[0]
        clients = MemoryClients(MemoryLog(), group(step.name), transactional_id(step.name, 0))
        super().__init__(step, clients, Coding(toys.CODEC, SEALER), PipelineSettings(), lambda: 0.0)
        self._then, self.runs, self.closed = then, 0, False

    def run_once(self) -> int:
        """Counts."""
        self.runs += 1
        if self.runs == 3:
            if isinstance(self._then, Exception):
                raise self._then
            os.kill(os.getpid(), self._then)
        return super().run_once()

    def close(self) -> None:
        """Notes it."""
        self.closed = True
        super().close()


def ended(then: Any, heartbeat: Path) -> tuple[ExitCode, Turned, dict[str, Any]]:
    """Code, pipeline and last heartbeat of a worker that meets this."""
    pipeline = Turned(then)
    code = Worker(0, lambda: pipeline, "double", heartbeat).run()
    return code, pipeline, orjson.loads(heartbeat.read_bytes())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    """The turn at hand is the last; clients are closed; handlers are what they were."""
    before = signal.getsignal(number)
    code, pipeline, beat = ended(number, tmp_path / "beat.json")
    assert (code, pipeline.runs, pipeline.closed) == (ExitCode.STOPPED, 3, True)
    assert (beat["state"], beat["exit_code"], beat["pid"]) == ("ended", 0, os.getpid())
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("error", "code"),
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
def test_what_ends_it_is_its_exit_code(error: Exception, code: ExitCode, tmp_path: Path) -> None:
    """A supervisor can act on it; and what an unexpected error says stays out of the logs."""
    with capture_logs() as logs:
        found, pipeline, beat = ended(error, tmp_path / "beat.json")
    assert (found, beat["exit_code"], pipeline.closed) == (code, code.value, True)
    assert "address" not in repr(logs)


def test_told_to_stop_it_mends_nothing(tmp_path: Path) -> None:
    """A commit that fails while it stops is left to the slot's next worker, which fences it."""
    log = MemoryLog()

    def made() -> Pipeline:
        clients = MemoryClients(log, group("double"), transactional_id("double", 0))
        return Pipeline(toys.steps()[0], clients, Coding(toys.CODEC, SEALER), PipelineSettings(), lambda: 0.0)

    worker = Worker(0, made, "double", tmp_path / "beat.json")
    tried: list[str] = []

    def strike(call: str, when: str) -> None:
        tried.append(call)
        if call == "commit_transaction":
            worker.stop()
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, retriable=True))

    log.on_call = strike
    value = toys.CODEC.encode("item", table_from_rows("item", toys.items([("a", 1)]), toys.CATALOGUE))[
        0
    ].as_py()
    log.append("in.item", b"a", value)
    assert worker.run() == ExitCode.STOPPED
    assert tried[-1] == "commit_transaction"
    assert log.committed == {}
