"""A deadline for calls that may never return although they were given a timeout.

librdkafka's `send_offsets_to_transaction` waits for ever if the group's coordinator becomes unavailable at the wrong
moment (confluentinc/librdkafka#5456 and #5511, open as of 2.15): both workers of a step hung after one broker had died.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

#: A call that respects its timeout returns within this time after it.
GRACE_S: Final = 2.0


def call_with_deadline(call: Callable[[], T], timeout_s: float) -> T:
    """Return what `call` returns, or raise what it raises; raise a time-out KafkaException `GRACE_S` after its timeout.

    After a time-out the call continues in a thread of its own, with everything it holds: its client must not be used
    again.
    """
    outcome: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(call())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, name="call-with-deadline", daemon=True).start()
    try:
        result = outcome.get(timeout=timeout_s + GRACE_S)
    except queue.Empty:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
    if isinstance(result, BaseException):
        raise result
    return result
