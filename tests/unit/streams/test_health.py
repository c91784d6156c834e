"""A consumer whose client says nothing more ends its worker; one that only stood still doesn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.errors import UnavailableError
from streams.librdkafka import health
from streams.librdkafka.health import UNHEALTHY_MAX_S, HealthCheckedConsumer

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}


def watching(step_s: float) -> tuple[HealthCheckedConsumer, list[float]]:
    """A consumer by a clock that goes on by so much with each call."""
    now = [0.0]

    def clock() -> float:
        now[0] += step_s
        return now[0]

    return HealthCheckedConsumer(NOWHERE, clock), now


def consume(consumer: HealthCheckedConsumer, times: int) -> None:
    """There is never anything."""
    for _ in range(times):
        assert consumer.consume(1, 0) == []


def test_a_client_that_is_not_well_for_long_is_given_up() -> None:
    """Nothing is told of a coordinator that was found."""
    consumer, now = watching(1.0)
    with pytest.raises(UnavailableError, match="not been well"):
        consume(consumer, 1_000)
    assert UNHEALTHY_MAX_S < now[0] < UNHEALTHY_MAX_S + 5
    consumer.close()


def test_who_is_told_of_a_coordinator_goes_on() -> None:
    """And who is told of none, or of nothing, doesn't."""
    consumer, _ = watching(1.0)
    for told in ('{"cgrp": {"state": "up"}}',) * 3:
        consume(consumer, int(UNHEALTHY_MAX_S) - 5)
        consumer._on_statistics(told)
    for told in ('{"cgrp": {"state": "wait-coord"}}', "{}"):
        consume(consumer, 25)
        consumer._on_statistics(told)
    with pytest.raises(UnavailableError):
        consume(consumer, 25)
    consumer.close()


def test_a_process_that_stood_still_is_not_blamed() -> None:
    """It has heard nothing meanwhile, and will."""
    consumer, _ = watching(1_000.0)
    consume(consumer, 20)
    consumer.close()


def test_a_client_that_does_not_come_back_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker ends, and the next one takes its place."""
    consumer, _ = watching(1.0)
    waits: list[float] = []

    def never(call: Callable[[], Any], timeout_s: float) -> Any:
        waits.append(timeout_s)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(health, "call_with_deadline", never)
    consumer.close()
    assert waits == [health.CLOSE_S]
