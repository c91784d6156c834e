"""Fixtures of the tests on a real broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.environment import Environment
from tests.integration.streams.broker import Broker, WorkerProcess


@pytest.fixture
def broker(environment: Environment) -> Broker:
    """Return the broker of the session, with names of the test's own."""
    return Broker(dict(environment.kafka("admin")))


@pytest.fixture
def workers() -> Iterator[list[WorkerProcess]]:
    """Yield a list of worker processes; they end with the test."""
    started: list[WorkerProcess] = []
    yield started
    for process in started:
        process.kill()
        process.wait(10)
