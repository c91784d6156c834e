"""The sinks of one slot: a thread for each domain, so that one domain's trouble keeps no other waiting.

A store that is slow, stopped or not as it must be stops its own sink, which is begun again, with pauses, for as long
as the process lives. One that only an operator can mend is left, and said; the process ends when none is left.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import start_http_server

from connectors.errors import (
    ConnectorError,
    NotDeliveredError,
    SinkFencedError,
    StoreSchemaError,
    TransientError,
)
from connectors.postgres import Access, postgres_worker, sink_role
from infra.apply.installation import Installation
from infra.codec import codec
from infra.environment import Environment
from infra.key_file import sealer
from infra.run.restart_policy import FINAL, LONGEST_DELAY_S, RestartPolicy
from infra.run.slots import Slot, steps_of
from schemas.systems import DOMAINS, Domain
from schemas.topics import sink_step
from streams.bisection import error_location
from streams.errors import StreamError
from streams.sealing import Coding
from streams.worker import ExitCode, ShutdownDeadline
from streams.worker import exit_code_of as stream_code

log = structlog.get_logger()

_CODES: Final[dict[type[ConnectorError], ExitCode]] = {
    TransientError: ExitCode.UNAVAILABLE,
    SinkFencedError: ExitCode.FENCED,
    StoreSchemaError: ExitCode.DENIED,
    NotDeliveredError: ExitCode.DENIED,
}


class Sinks:
    """The sinks of one slot; `run` returns when told to stop, or with the last one's code when none can go on."""

    def __init__(self, slot: Slot, environment: Environment, shared: Coding) -> None:
        self._slot, self._environment, self._coding = slot, environment, shared
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running = 0
        self._code = 0

    def stop(self) -> None:
        """Have all of them end after the batch at hand."""
        self._stop.set()

    def run(self, domains: Sequence[Domain]) -> int:
        """0 where they were told to stop."""
        self._running = len(domains)
        threads = [threading.Thread(target=self._keep, args=[d], name=sink_step(d.id)) for d in domains]
        for thread in threads:
            thread.start()
        self._stop.wait()
        for thread in threads:
            thread.join()
        return self._code

    def _keep(self, domain: Domain) -> None:
        """One domain's sink, begun again after an error, as often as a worker would be."""
        restarts = RestartPolicy()
        while not self._stop.is_set():
            begun = time.monotonic()
            code = self._once(domain)
            if self._stop.is_set():
                return
            delay_s = restarts.after(code, time.monotonic() - begun)
            if delay_s is None and self._left(domain, code):
                return
            self._stop.wait(LONGEST_DELAY_S if delay_s is None else delay_s)

    def _left(self, domain: Domain, code: int) -> bool:
        """Whether it is left: where it is beyond trying, or the only one, as the code then tells the supervisor."""
        with self._lock:
            if code not in FINAL and self._running > 1:
                return False
            self._running -= 1
            log.error("sink.given-up", domain=domain.id, exit_code=code)
            if not self._running:
                self._code = code
                self.stop()
        return True

    def _once(self, domain: Domain) -> int:
        try:
            user = sink_step(domain.id)
            access = Access(
                self._environment.kafka(user) | {"log_level": "3"},
                self._environment.dsn(sink_role(domain)),
                self._stop.wait,
            )
            postgres_worker(domain, self._slot.number, access, self._coding).run(self._stop)
        except Exception as error:  # whatever it is, the other domains go on
            return _ended(domain, error)
        return 0


def run_sinks(slot: Slot, environment: Environment, installation: Installation, port: int | None) -> int:
    """Runs until SIGTERM or SIGINT; a code of `streams.worker.ExitCode`. For the main thread."""
    if port is not None:
        start_http_server(port, addr="127.0.0.1")
    coding = Coding(codec(environment, installation), sealer(installation.key_file))
    sinks, limit = Sinks(slot, environment, coding), ShutdownDeadline()

    def told(*_: object) -> None:
        limit.begin()
        sinks.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    steps = steps_of(slot.step)
    return sinks.run([domain for domain in DOMAINS.values() if sink_step(domain.id) in steps])


def _ended(domain: Domain, error: Exception) -> int:
    known = isinstance(error, (ConnectorError, StreamError))
    # Only our own errors' texts are known to hold no data of a record.
    reason = str(error) if known else "unexpected"
    log.error(
        "sink.stopped", domain=domain.id, error=type(error).__name__, reason=reason, at=error_location(error)
    )
    return code_of(error)


def code_of(error: Exception) -> ExitCode:
    """The code of what ended a sink; the connectors' errors mean what the pipeline's mean."""
    if isinstance(error, StreamError):
        return stream_code(error)
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.UNEXPECTED)
