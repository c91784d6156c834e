"""A worker of a step: runs the pipeline until a signal stops it, and ends with an exit code for the supervisor."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Final

import orjson
import structlog
from confluent_kafka import KafkaException
from prometheus_client import start_http_server

from streams.bisection import error_location
from streams.clients import Clock
from streams.errors import (
    BrokenStepError,
    DeniedError,
    FencedError,
    LostRecordsError,
    NotConfiguredError,
    StateError,
    StreamError,
    UnavailableError,
)
from streams.kafka_errors import stopped_by
from streams.pipeline import Pipeline

log = structlog.get_logger()

#: How often the heartbeat file is written while nothing changes.
HEARTBEAT_S: Final = 1.0
#: How long a worker may take to end after a signal: a commit's timeout and a second. Supervisors kill after 10 s.
SHUTDOWN_DEADLINE_S: Final = 8.0


class ExitCode(IntEnum):
    """Why a worker ended, and whether the supervisor restarts it (`infra/run/restart_policy.py`).

    A restart comes at once if the worker lived 10 s, else after a pause that grows to 15 s. A worker that ends 13
    times in a row within 10 s of its start is given up, except with UNAVAILABLE.

    | code | restart |
    | --- | --- |
    | STOPPED | yes, unless the supervisor itself stops: a signal stopped the worker |
    | UNEXPECTED, CLIENT | yes, after a pause |
    | UNAVAILABLE | yes, after a pause, as often as it takes: a server doesn't answer |
    | FENCED | yes, after a pause: another worker has the slot, or this one was paused too long |
    | DENIED | yes, after a pause; run `mesh apply`: a privilege or topic is missing or the user is unknown |
    | BROKEN_STEP | no, install a corrected release: the processor fails on too many records |
    | STATE | yes, after a pause: a changelog couldn't be read to its end |
    | LOST_RECORDS | no, an operator must investigate: records that the group hadn't read were deleted |
    | NOT_CONFIGURED | no, until an operator has put the setting or the key file right |
    """

    STOPPED = 0
    UNEXPECTED = 1
    UNAVAILABLE = 10
    FENCED = 11
    DENIED = 12
    BROKEN_STEP = 13
    STATE = 14
    LOST_RECORDS = 15
    CLIENT = 16
    NOT_CONFIGURED = 78


_CODE_BY_ERROR: Final[dict[type[StreamError], ExitCode]] = {
    UnavailableError: ExitCode.UNAVAILABLE,
    FencedError: ExitCode.FENCED,
    DeniedError: ExitCode.DENIED,
    BrokenStepError: ExitCode.BROKEN_STEP,
    StateError: ExitCode.STATE,
    LostRecordsError: ExitCode.LOST_RECORDS,
    NotConfiguredError: ExitCode.NOT_CONFIGURED,
}


class ShutdownDeadline:
    """A limit on the time that a process needs to stop: then it exits, although a server hasn't answered.

    That loses nothing: an open transaction is committed completely or not at all. The slot's next worker ends it at its
    start, or the server when the connection is closed.
    """

    def __init__(self, limit_s: float = SHUTDOWN_DEADLINE_S) -> None:
        self._limit_s = limit_s
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """Start the time limit; later calls do nothing."""
        if self._timer is None:
            self._timer = threading.Timer(self._limit_s, _exit_now)
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """Cancel the time limit, because the process ends by itself."""
        if self._timer is not None:
            self._timer.cancel()


def _exit_now() -> None:
    try:
        log.warning("worker.stop-timeout")
        sys.stdout.flush()
    finally:
        os._exit(ExitCode.STOPPED)


@dataclass
class Worker:
    """The worker of one slot of a step; if it has a `shutdown_deadline`, it must be alone in its process.

    `heartbeat` is a file that the worker writes every second (None: it writes none), in JSON: step, slot, pid, state
    (starting, restoring, running, stopping, ended), partitions (`topic/number`), records (processed since the start),
    exit_code (null until it has ended), at (seconds since 1970).
    """

    slot: int
    create_pipeline: Callable[[], Pipeline]
    step: str
    heartbeat: Path | None = None
    metrics_port: int | None = None
    clock: Clock = time.monotonic
    shutdown_deadline: ShutdownDeadline | None = None
    stopping: bool = field(default=False, init=False)
    _pipeline: Pipeline | None = field(default=None, init=False)
    _records: int = field(default=0, init=False)
    _last_heartbeat: tuple[float, str] = field(default=(float("-inf"), ""), init=False)

    def run(self) -> ExitCode:
        """Run until SIGTERM, SIGINT or an error that stops the worker; call it in the main thread."""
        if self.metrics_port is not None:
            start_http_server(self.metrics_port, addr="127.0.0.1")
        with self._signal_handlers(), structlog.contextvars.bound_contextvars(step=self.step, slot=self.slot):
            code = self._run_guarded()
            if self.shutdown_deadline:
                self.shutdown_deadline.end()
            self._write_heartbeat("ended", [], code)
            log.info("worker.ended", exit_code=code.name)
        return code

    def stop(self) -> None:
        """Make the current `Pipeline.run_once` the last: it ends within `poll_timeout_s` or `commit_timeout_s`."""
        self.stopping = True
        if self.shutdown_deadline:
            self.shutdown_deadline.begin()
        if self._pipeline:
            self._pipeline.stop()

    def _run_guarded(self) -> ExitCode:
        try:
            self._loop()
        except StreamError as error:
            # A stopping worker doesn't recover from a failed transaction: the slot's next worker does.
            unrecovered = self.stopping and isinstance(error, UnavailableError)
            return ExitCode.STOPPED if unrecovered else _log_stopped(error)
        except KafkaException as error:
            return _log_stopped(stopped_by(error.args[0]))
        except Exception as error:
            return _log_failed(error)
        return ExitCode.STOPPED

    def _loop(self) -> None:
        self._write_heartbeat("starting", [])
        pipeline = self._pipeline = self.create_pipeline()
        try:
            pipeline.start()
            while not self.stopping:
                self._records += pipeline.run_once()
                self._write_heartbeat("restoring" if pipeline.restoring else "running", _names(pipeline))
            self._write_heartbeat("stopping", _names(pipeline))
        finally:
            pipeline.close()

    @contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        def on_signal(number: int, frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _write_heartbeat(self, state: str, partitions: list[str], code: ExitCode | None = None) -> None:
        now_s, content = self.clock(), f"{state} {partitions}"
        last_s, last_content = self._last_heartbeat
        if self.heartbeat is None or (content == last_content and now_s - last_s < HEARTBEAT_S):
            return
        self._last_heartbeat = now_s, content
        draft = self.heartbeat.with_suffix(".draft")
        draft.write_bytes(
            orjson.dumps(
                {
                    "step": self.step,
                    "slot": self.slot,
                    "pid": os.getpid(),
                    "state": state,
                    "partitions": partitions,
                    "records": self._records,
                    "exit_code": code,
                    "at": time.time(),
                }
            )
        )
        draft.replace(self.heartbeat)


def exit_code_of(error: StreamError) -> ExitCode:
    """Return the exit code for the error that ended a worker."""
    return _CODE_BY_ERROR.get(type(error), ExitCode.CLIENT)


def _log_stopped(error: StreamError) -> ExitCode:
    log.error("worker.stopped", error=type(error).__name__, reason=str(error))
    return exit_code_of(error)


def _log_failed(error: Exception) -> ExitCode:
    # The error's text may quote a record: only its type and location are logged.
    log.error("worker.failed", error=type(error).__name__, at=error_location(error))
    return ExitCode.UNEXPECTED


def _names(pipeline: Pipeline) -> list[str]:
    return [f"{topic}/{number}" for topic, number in pipeline.partitions]
