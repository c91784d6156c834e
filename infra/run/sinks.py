"""The sinks of one slot: a thread per domain, so a failing sink doesn't stop the others.

If a store is slow, stopped, or not as declared, only its own sink stops. It is restarted with pauses for as long as the
process runs. A sink that only an operator can fix is given up and logged. The process ends with the last sink.
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
    UnreadableWithdrawalError,
)
from connectors.postgres import SinkAccess, postgres_worker, sink_role
from infra.apply.installation import Installation
from infra.coding import coding
from infra.environment import Environment
from infra.errors import KeyFileError
from infra.key_file import DEAD_LETTER_KEYS, sink_keys, sink_sealers
from infra.key_fingerprints import not_configured, require_keys_of_worker
from infra.run.given_up import GivenUpSinks
from infra.run.restart_policy import LONGEST_DELAY_S, NOT_RESTARTED, RestartPolicy
from infra.run.slots import Slot, steps_of
from schemas.systems import DOMAINS, Domain
from schemas.topics import domain_topic, sink_step
from streams.bisection import error_location
from streams.errors import StreamError
from streams.sealed_rows import OpeningCodec
from streams.sealing import Coding
from streams.worker import ExitCode, ShutdownDeadline
from streams.worker import exit_code_of as stream_code

log = structlog.get_logger()

_CODES: Final[dict[type[ConnectorError], ExitCode]] = {
    TransientError: ExitCode.UNAVAILABLE,
    SinkFencedError: ExitCode.FENCED,
    StoreSchemaError: ExitCode.DENIED,
    NotDeliveredError: ExitCode.DENIED,
    UnreadableWithdrawalError: ExitCode.DENIED,
}


class Sinks:
    """The sinks of one slot. `run` returns after `stop`, or with the last sink's exit code when all are given up."""

    def __init__(
        self, slot: Slot, environment: Environment, installation: Installation, coding: Coding
    ) -> None:
        self._slot, self._environment, self._coding = slot, environment, coding
        self._installation, self._given_up = installation, GivenUpSinks(installation, slot)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running = 0
        self._code = 0

    def stop(self) -> None:
        """Request all sinks to end after their current batch."""
        self._stop.set()

    def run(self, domains: Sequence[Domain]) -> int:
        """Run the sinks of these domains and return an exit code: 0 after `stop`."""
        self._running = len(domains)
        threads = [
            threading.Thread(target=self._run_with_restarts, args=[d], name=sink_step(d.id)) for d in domains
        ]
        for thread in threads:
            thread.start()
        self._stop.wait()
        for thread in threads:
            thread.join()
        return self._code

    def _run_with_restarts(self, domain: Domain) -> None:
        """Run one domain's sink, and restart it after an error by the policy for workers."""
        restarts = RestartPolicy()
        while not self._stop.is_set():
            started = time.monotonic()
            code = self._run_once(domain)
            if self._stop.is_set():
                return
            delay_s = restarts.delay_after(code, time.monotonic() - started)
            if delay_s is None and self._give_up(domain, code):
                return
            self._stop.wait(LONGEST_DELAY_S if delay_s is None else delay_s)

    def _give_up(self, domain: Domain, code: int) -> bool:
        """Give a sink up and return True, if only an operator can fix it or no other sink is running.

        In the second case the process ends with this code, and the supervisor decides about a restart.
        """
        with self._lock:
            if code not in NOT_RESTARTED and self._running > 1:
                return False
            self._running -= 1
            log.error("sink.given-up", domain=domain.id, exit_code=code)
            self._given_up.add(sink_step(domain.id), code)
            if not self._running:
                self._code = code
                self.stop()
        return True

    def _run_once(self, domain: Domain) -> int:
        try:
            user = sink_step(domain.id)
            self._require_keys(user, domain)
            access = SinkAccess(
                self._environment.kafka(user) | {"log_level": "3"},
                self._environment.dsn(sink_role(domain)),
                self._stop.wait,
            )
            postgres_worker(domain, self._slot.number, access, self._coding_of(domain)).run(self._stop)
        except Exception as error:  # the other domains' sinks continue after any error
            return _log_end(domain, error)
        return 0

    def _coding_of(self, domain: Domain) -> Coding:
        """Return the coding of a sink: one of the high level opens the records of its topic."""
        if not domain.is_high:
            return self._coding
        sealer = sink_sealers(self._installation.key_file, [domain.id])[domain.id]
        codec = OpeningCodec(self._coding.codec, sealer, domain_topic(domain.id), domain.event)
        return Coding(codec, self._coding.sealer)

    def _require_keys(self, user: str, domain: Domain) -> None:
        """Check the keys as this sink's user: the reader also finds out whether a broker accepts the user."""
        try:
            names = [DEAD_LETTER_KEYS, *([sink_keys(domain.id)] if domain.is_high else [])]
            require_keys_of_worker(self._environment, self._installation, user, names)
        except KeyFileError as error:
            raise not_configured(error) from None


def run_sinks(slot: Slot, environment: Environment, installation: Installation, port: int | None) -> int:
    """Run a slot's sinks until SIGTERM or SIGINT; return a code of `streams.worker.ExitCode`.

    Must be called in the main thread, because it installs signal handlers.
    """
    if port is not None:
        start_http_server(port, addr="127.0.0.1")
    sinks = Sinks(slot, environment, installation, coding(environment, installation))
    deadline = ShutdownDeadline()

    def on_signal(*_: object) -> None:
        deadline.begin()
        sinks.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    steps = steps_of(slot.step)
    return sinks.run([domain for domain in DOMAINS.values() if sink_step(domain.id) in steps])


def _log_end(domain: Domain, error: Exception) -> int:
    # Only the texts of the mesh's own errors are known to contain no data of a record.
    reason = str(error) if isinstance(error, (ConnectorError, StreamError)) else "unexpected"
    log.error(
        "sink.stopped", domain=domain.id, error=type(error).__name__, reason=reason, at=error_location(error)
    )
    return code_of(error)


def code_of(error: Exception) -> ExitCode:
    """Return the exit code for the error that ended a sink, with the same meanings as a pipeline's codes."""
    if isinstance(error, StreamError):
        return stream_code(error)
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.UNEXPECTED)
