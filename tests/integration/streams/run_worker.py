"""A worker of a toy step as a process of its own; it is told by JSON on its standard input."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import structlog

from infra.run.logs import without_persons
from streams.worker import Worker
from tests.integration.streams.conftest import Broker


class Dying:
    """A producer that dies where it should commit a batch; marks (`streams.barrier`) are none, and have no values."""

    def __init__(self, inner: Any, at: int) -> None:
        self._inner, self._left, self._values = inner, at, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def produce(self, topic: str, value: bytes | None, *given: Any, **named: Any) -> None:
        """Notes whether it has a value."""
        self._values = self._values or value is not None
        self._inner.produce(topic, value, *given, **named)

    def commit_transaction(self, timeout: float) -> None:
        """The chosen one never takes place."""
        self._left -= self._values
        self._values = False
        if self._left == 0:
            self._inner.flush(30)
            os.kill(os.getpid(), signal.SIGKILL)
        self._inner.commit_transaction(timeout)


def configure_log(path: Path) -> None:
    """Lines as JSON, as a worker's own are, in a file."""
    structlog.configure(
        processors=[without_persons, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(path.open("a", buffering=1)),
    )


def main(spec: dict[str, Any]) -> int:
    """Runs until SIGTERM, or dies in the transaction of its batch `die_at`."""
    if "log" in spec:
        configure_log(Path(spec["log"]))
    broker = Broker(spec["connection"], spec["prefix"])
    pipeline = broker.pipeline(spec["kind"], spec["slot"], spec.get("settings"))
    if spec.get("die_at"):
        clients = pipeline._transactions._clients
        make = clients.producer
        clients.producer = lambda: Dying(make(), spec["die_at"])  # type: ignore[method-assign]
    heartbeat = Path(spec["heartbeat"]) if "heartbeat" in spec else None
    return Worker(spec["slot"], lambda: pipeline, spec["kind"], heartbeat).run()


if __name__ == "__main__":
    sys.exit(main(orjson.loads(sys.stdin.read())))
