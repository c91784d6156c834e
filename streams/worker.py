"""One worker of a step: runs its pipeline until told to stop, and ends with a code that a supervisor can act on."""

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
    StateError,
    StreamError,
    UnavailableError,
)
from streams.kafka_errors import stopped_by
from streams.pipeline import Pipeline

log = structlog.get_logger()

#: How often the heartbeat file is written while nothing changes.
HEARTBEAT_S: Final = 1.0
#: What a worker may take to end when told: a commit's timeout, and a little. Supervisors want it within ten seconds.
SHUTDOWN_DEADLINE_S: Final = 8.0


class ExitCode(IntEnum):
    """Why a worker ended, and what a supervisor does about it.

    | code | start it again? |
    | --- | --- |
    | STOPPED | no: it was told to stop, and did so cleanly |
    | UNEXPECTED, CLIENT | yes, with a pause that grows |
    | UNAVAILABLE | yes, with a pause: a server doesn't answer |
    | FENCED | yes, with a pause, where the slot has no other worker: standing still too long is fenced too |
    | DENIED | after `mesh apply` only: a right or a topic is missing, or the user isn't known |
    | BROKEN_STEP | after a new release only: its processor fails on everything |
    | STATE | yes, once: a changelog could not be read to its end |
    | LOST_RECORDS | no: an operator has to look, records were deleted under the group |
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


_CODES: Final[dict[type[StreamError], ExitCode]] = {
    UnavailableError: ExitCode.UNAVAILABLE,
    FencedError: ExitCode.FENCED,
    DeniedError: ExitCode.DENIED,
    BrokenStepError: ExitCode.BROKEN_STEP,
    StateError: ExitCode.STATE,
    LostRecordsError: ExitCode.LOST_RECORDS,
}


class ShutdownDeadline:
    """Ends this process where it was told to stop, and a server that doesn't answer keeps it from doing so.

    That is as clean as any other end: what is open takes place as a whole or not at all. The slot's next worker sees to
    that at its start, or the server when the connection is gone.
    """

    def __init__(self, limit_s: float = SHUTDOWN_DEADLINE_S) -> None:
        self._limit_s = limit_s
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """The process was told to stop."""
        if self._timer is None:
            self._timer = threading.Timer(self._limit_s, _exit_now)
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """It ends by itself."""
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
    """A slot of a step; with a `stop_limit` it is the only thing of its process.

    `heartbeat` is a file that says each second how it is (None: none is written),
    in JSON: step, slot, pid, state (starting, restoring, running, stopping, ended), partitions (`topic/number`),
    records (processed since the start), exit_code (null until it ended), at (seconds since 1970).
    """

    slot: int
    pipeline: Callable[[], Pipeline]
    step: str
    heartbeat: Path | None = None
    metrics_port: int | None = None
    clock: Clock = time.monotonic
    shutdown_deadline: ShutdownDeadline | None = None
    stopping: bool = field(default=False, init=False)
    _running: Pipeline | None = field(default=None, init=False)
    _records: int = field(default=0, init=False)
    _last: tuple[float, str] = field(default=(float("-inf"), ""), init=False)

    def run(self) -> ExitCode:
        """Runs until SIGTERM or SIGINT, or until it can't go on; for the main thread."""
        if self.metrics_port is not None:
            start_http_server(self.metrics_port, addr="127.0.0.1")
        with self._signals(), structlog.contextvars.bound_contextvars(step=self.step, slot=self.slot):
            code = self._run_guarded()
            if self.shutdown_deadline:
                self.shutdown_deadline.end()
            self._write_heartbeat("ended", [], code)
            log.info("worker.ended", exit_code=code.name)
        return code

    def stop(self) -> None:
        """Ends after the turn at hand: within `poll_timeout_s`, or a commit's timeout."""
        self.stopping = True
        if self.shutdown_deadline:
            self.shutdown_deadline.begin()
        if self._running:
            self._running.stop()

    def _run_guarded(self) -> ExitCode:
        try:
            self._loop()
        except StreamError as error:
            # What a worker that was told to stop left open, the slot's next worker ends.
            told = self.stopping and isinstance(error, UnavailableError)
            return ExitCode.STOPPED if told else _stopped(error)
        except KafkaException as error:
            return _stopped(stopped_by(error.args[0]))
        except Exception as error:
            return _failed(error)
        return ExitCode.STOPPED

    def _loop(self) -> None:
        self._write_heartbeat("starting", [])
        pipeline = self._running = self.pipeline()
        try:
            pipeline.start()
            while not self.stopping:
                self._records += pipeline.run_once()
                self._write_heartbeat("restoring" if pipeline.restoring else "running", _names(pipeline))
            self._write_heartbeat("stopping", _names(pipeline))
        finally:
            pipeline.close()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def told(number: int, frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _write_heartbeat(self, state: str, partitions: list[str], code: ExitCode | None = None) -> None:
        now, content = self.clock(), f"{state} {partitions}"
        if self.heartbeat is None or (content == self._last[1] and now - self._last[0] < HEARTBEAT_S):
            return
        self._last = now, content
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
    """The code of what ended a worker."""
    return _CODES.get(type(error), ExitCode.CLIENT)


def _stopped(error: StreamError) -> ExitCode:
    log.error("worker.stopped", error=type(error).__name__, reason=str(error))
    return exit_code_of(error)


def _failed(error: Exception) -> ExitCode:
    # Its text may hold what it was raised about.
    log.error("worker.failed", error=type(error).__name__, at=error_location(error))
    return ExitCode.UNEXPECTED


def _names(pipeline: Pipeline) -> list[str]:
    return [f"{topic}/{number}" for topic, number in pipeline.partitions]
