"""A consumer that knows whether its client is well.

A client may come to a stop in itself and say nothing: its process lives, `consume` returns nothing, and the group has
long given its partitions to others (seen with librdkafka 2.16 after the death of a broker; nothing was logged, and
`close` did not return). What it is to tell of itself every so often doesn't come then, or says that the group's
coordinator was not found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
import structlog
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaException

from streams.errors import UnavailableError
from streams.librdkafka.deadline import call_with_deadline

log = structlog.get_logger()

#: How often the client tells of itself: a few milliseconds' work with a thousand partitions.
STATISTICS_INTERVAL_MS: Final = 10_000
#: So long a coordinator may be looked for, or nothing be told: longer than brokers take to make another one.
UNHEALTHY_MAX_S: Final = 60.0
#: A process that stood still has heard nothing meanwhile: of the time between two calls no more than this counts.
_CALL_GAP_MAX_S: Final = 2.0
#: How long leaving may take.
CLOSE_S: Final = 5.0


class HealthCheckedConsumer(KafkaConsumer):
    """A member of a group; to be called often, by one thread."""

    def __init__(self, properties: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._called_s, self._unhealthy_s, self._last_state = clock, clock(), 0.0, "nothing"
        super().__init__(
            {**properties, "statistics.interval.ms": STATISTICS_INTERVAL_MS, "stats_cb": self._on_statistics}
        )

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        """As a consumer does. UnavailableError: its client is not well, and has to be made anew."""
        messages: list[Any] = super().consume(num_messages, timeout)
        now_s = self._clock()
        self._unhealthy_s += min(now_s - self._called_s, _CALL_GAP_MAX_S)
        self._called_s = now_s
        if self._unhealthy_s > UNHEALTHY_MAX_S:
            raise UnavailableError(
                f"the group's client has not been well for {UNHEALTHY_MAX_S:.0f} s; told last: {self._last_state}"
            )
        return messages

    def close(self) -> None:
        """Leaves; a client that doesn't come back from it is left behind."""
        try:
            call_with_deadline(super().close, CLOSE_S)
        except KafkaException as failure:
            log.warning("consumer.close-timeout", error=failure.args[0].name())

    def _on_statistics(self, statistics: str) -> None:
        group = orjson.loads(statistics).get("cgrp", {})
        self._last_state = f"{group.get('state')}, {group.get('join_state')}"
        if group.get("state") == "up":
            self._unhealthy_s = 0.0
