"""A group member that notices when its client has stalled, and that returns which committed offsets are unstable.

A client may stall without any error (seen with librdkafka 2.16 after a broker had died): its process lives, `consume`
returns nothing, `close` doesn't return, and the group has long assigned its partitions to others. Its statistics then
stop, or say that the group's coordinator isn't known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson
import structlog
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.errors import UnavailableError
from streams.librdkafka.deadline import call_with_deadline

log = structlog.get_logger()

#: How often the client reports statistics: a few milliseconds of work with a thousand partitions.
STATISTICS_INTERVAL_MS: Final = 10_000
#: How long a client may be without coordinator or statistics: longer than brokers take to elect a coordinator.
UNHEALTHY_MAX_S: Final = 60.0
#: Of the time between two calls at most this counts: a process that was paused received no statistics meanwhile.
_CALL_GAP_MAX_S: Final = 2.0
#: How long leaving the group may take.
CLOSE_S: Final = 5.0
#: Errors that end when the coordinator has moved or loaded, or the connection is back.
_TRANSIENT: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT,
    }
)
#: A stable offset is answered within milliseconds by a near broker; the timeout doubles up to the second value.
_ANSWER_TIMEOUT_S: Final = 0.25
_ANSWER_TIMEOUT_MAX_S: Final = 3.0
#: Additional time per partition: 7,000 at once take a quarter of a second on a quiet broker and client.
_ANSWER_TIMEOUT_PER_PARTITION_S: Final = 0.000_2


class HealthCheckedConsumer(KafkaConsumer):
    """A member of a group, for one thread, which has to call `consume` often."""

    def __init__(self, properties: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._called_s, self._unhealthy_s, self._last_state = clock, clock(), 0.0, "nothing"
        super().__init__(
            {
                **properties,
                "statistics.interval.ms": STATISTICS_INTERVAL_MS,
                "stats_cb": self._on_statistics,
            }
        )

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        """Return messages; raise UnavailableError if the client has stalled, so that it has to be made again."""
        messages: list[Any] = super().consume(num_messages, timeout)
        now_s = self._clock()
        self._unhealthy_s += min(now_s - self._called_s, _CALL_GAP_MAX_S)
        self._called_s = now_s
        if self._unhealthy_s > UNHEALTHY_MAX_S:
            raise UnavailableError(
                f"the group's client has been unhealthy for {UNHEALTHY_MAX_S:.0f} s; "
                f"last state: {self._last_state}"
            )
        return messages

    def close(self) -> None:
        """Leave the group; abandon a client that doesn't return from it."""
        try:
            call_with_deadline(super().close, CLOSE_S)
        except KafkaException as failure:
            log.warning("consumer.close-timeout", error=failure.args[0].name())

    def _on_statistics(self, statistics: str) -> None:
        group = orjson.loads(statistics).get("cgrp", {})
        self._last_state = f"{group.get('state')}, {group.get('join_state')}"
        if group.get("state") == "up":
            self._unhealthy_s = 0.0


class CommittedOffset(NamedTuple):
    """A committed offset as `committed` returns it (`confluent_kafka.TopicPartition`, whose error can't be set)."""

    topic: str
    partition: int
    offset: int
    error: KafkaError | None = None
    metadata: str | None = None


class GroupConsumer(HealthCheckedConsumer):
    """A group member whose `committed` returns unstable offsets as such instead of waiting for them.

    librdkafka's own `committed` waits until no offset asked for is unstable, and then returns all. The admin client's
    request returns at once, but crashes the process if the coordinator has moved (confluentinc/librdkafka#5040). So ask
    for all at once with a short timeout; if there is no answer, find the unstable ones by bisection.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        super().__init__(properties)
        self._answer_timeout_s = _ANSWER_TIMEOUT_S

    def committed(  # type: ignore[override]
        self, partitions: list[TopicPartition], timeout: float
    ) -> list[CommittedOffset]:
        """Return the committed offset of each partition, with UNSTABLE_OFFSET_COMMIT if there was no answer in time.

        Raise a KafkaException for an error that a later request would get too.
        """
        deadline = time.monotonic() + min(timeout, _ANSWER_TIMEOUT_MAX_S)
        offsets: list[CommittedOffset] = []
        any_answer = False
        portions = [partitions]
        while portions:
            portion = portions.pop()
            left_s = deadline - time.monotonic()
            timeout_s = self._answer_timeout_s + _ANSWER_TIMEOUT_PER_PARTITION_S * len(portion)
            answer = self._ask_committed(portion, min(timeout_s, left_s)) if left_s > 0 else None
            if answer is not None:
                offsets, any_answer = offsets + answer, True
            elif len(portion) > 1 and left_s > 0:
                middle = len(portion) // 2
                portions += [portion[middle:], portion[:middle]]
            else:
                unstable = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
                offsets += [CommittedOffset(each.topic, each.partition, -1001, unstable) for each in portion]
        # Without any answer either all offsets are unstable, or the connection is slow: allow more time.
        self._answer_timeout_s = (
            _ANSWER_TIMEOUT_S if any_answer else min(_ANSWER_TIMEOUT_MAX_S, 2 * self._answer_timeout_s)
        )
        return offsets

    def _ask_committed(
        self, partitions: list[TopicPartition], timeout_s: float
    ) -> list[CommittedOffset] | None:
        """Return the answer, or None if one of the offsets is unstable or the coordinator can't be asked."""
        try:
            answer = super().committed(partitions, timeout_s)
        except KafkaException as failure:
            if failure.args[0].code() in _TRANSIENT:
                return None
            raise
        return [
            CommittedOffset(each.topic, each.partition, each.offset, each.error, each.metadata)
            for each in answer
        ]
