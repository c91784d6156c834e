"""The sinks of one slot: a thread for each domain, so that one domain's trouble keeps no other waiting."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence

import structlog
from prometheus_client import start_http_server

from connectors.errors import ConnectorError, TransientError
from connectors.postgres import Access, postgres_worker, sink_role
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.run.restart import Restarts
from infra.run.slots import Slot, steps_of
from infra.schema_ids import codec
from schemas.codec import Codec
from schemas.systems import DOMAINS, Domain
from schemas.topics import sink_step
from streams.errors import StreamError, UnavailableError
from streams.processing import place

log = structlog.get_logger()

UNEXPECTED = 1
UNAVAILABLE = 10


class Sinks:
    """The sinks of one slot; `run` returns when told to stop, or with a code when one of them can't go on."""

    def __init__(self, slot: Slot, environment: Environment, shared: Codec) -> None:
        self._slot, self._environment, self._codec = slot, environment, shared
        self._stop = threading.Event()
        self._code = 0

    def stop(self) -> None:
        """Have all of them end after the batch at hand."""
        self._stop.set()

    def run(self, domains: Sequence[Domain]) -> int:
        """0 where they were told to stop."""
        threads = [threading.Thread(target=self._keep, args=[d], name=sink_step(d.id)) for d in domains]
        for thread in threads:
            thread.start()
        self._stop.wait()
        for thread in threads:
            thread.join()
        return self._code

    def _keep(self, domain: Domain) -> None:
        """One domain's sink, begun again after an error, as often as a worker would be."""
        restarts = Restarts()
        while not self._stop.is_set():
            begun = time.monotonic()
            code = self._once(domain)
            if self._stop.is_set():
                return
            delay_s = restarts.after(code, time.monotonic() - begun)
            if delay_s is None:
                self._code = code
                self.stop()
                return
            self._stop.wait(delay_s)

    def _once(self, domain: Domain) -> int:
        try:
            user = sink_step(domain.id)
            access = Access(
                self._environment.kafka(user) | {"log_level": "3"}, self._environment.dsn(sink_role(domain))
            )
            postgres_worker(domain, self._slot.number, access, self._codec).run(self._stop)
        except Exception as error:  # whatever it is, the other domains go on
            return _ended(domain, error)
        return 0


def run_sinks(slot: Slot, environment: Environment, installation: Installation, port: int | None) -> int:
    """Runs until SIGTERM or SIGINT; a code of `streams.worker.ExitCode`. For the main thread."""
    if port is not None:
        start_http_server(port, addr="127.0.0.1")
    sinks = Sinks(slot, environment, codec(environment, installation))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sinks.stop())
    steps = steps_of(slot.step)
    return sinks.run([domain for domain in DOMAINS.values() if sink_step(domain.id) in steps])


def _ended(domain: Domain, error: Exception) -> int:
    known = isinstance(error, (ConnectorError, StreamError))
    # Only our own errors' texts are known to hold no data of a record.
    reason = str(error) if known else "unexpected"
    log.error("sink.stopped", domain=domain.id, error=type(error).__name__, reason=reason, at=place(error))
    return UNAVAILABLE if isinstance(error, (TransientError, UnavailableError)) else UNEXPECTED
