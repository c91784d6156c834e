"""A worker of a toy step as a process of its own, configured by JSON on its standard input.

Keys: `connection`, `prefix`, `kind`, `slot`, and optionally `settings`, `log` and `heartbeat` (paths), `die_at` (the
number of the batch in whose transaction the process kills itself).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import structlog

from infra.run.logs import drop_unsafe
from streams.worker import Worker
from tests.integration.streams.broker import Broker, ProducerWrapper


class DyingProducer(ProducerWrapper):
    """A producer that kills its process instead of committing batch number `die_at`; counts from 1."""

    def __init__(self, inner: Any, die_at: int) -> None:
        super().__init__(inner)
        self._batches_left = die_at

    def before_commit(self) -> None:
        """Kill the process if this is the batch; its records and offsets are at the broker."""
        self._batches_left -= 1
        if self._batches_left == 0:
            self.inner.flush(30)
            os.kill(os.getpid(), signal.SIGKILL)


def configure_log(path: Path) -> None:
    """Write log lines as JSON to a file, as a real worker does."""
    structlog.configure(
        processors=[drop_unsafe, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(path.open("a", buffering=1)),
    )


def main(spec: dict[str, Any]) -> int:
    """Run until SIGTERM, or until the transaction of batch `die_at`; return the exit code."""
    if "log" in spec:
        configure_log(Path(spec["log"]))
    broker, die_at = Broker(spec["connection"], spec["prefix"]), spec.get("die_at")
    wrap = (lambda producer: DyingProducer(producer, die_at)) if die_at else None
    pipeline = broker.pipeline(spec["kind"], spec["slot"], spec.get("settings"), wrap)
    heartbeat = Path(spec["heartbeat"]) if "heartbeat" in spec else None
    return Worker(spec["slot"], lambda: pipeline, spec["kind"], heartbeat).run()


if __name__ == "__main__":
    sys.exit(main(orjson.loads(sys.stdin.read())))
