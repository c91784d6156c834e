"""A call that may never return, although it was given a timeout.

librdkafka's `send_offsets_to_transaction` waits for ever where the group's coordinator goes away at the wrong moment
(confluentinc/librdkafka#5456 and #5511, open as of 2.15): both workers of a step were seen to hang so after the death
of one broker, and nothing moved any more.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

#: A call that keeps to its timeout comes back a little after it.
GRACE_S: Final = 2.0


def call_with_deadline(call: Callable[[], T], timeout_s: float) -> T:
    """What `call` returns or raises; KafkaException of a timeout where it does neither `GRACE_S` after its timeout.

    It is left behind then, in a thread of its own, with whatever it holds: what it calls is to be used no more.
    """
    outcome: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(call())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, name="bounded", daemon=True).start()
    try:
        found = outcome.get(timeout=timeout_s + GRACE_S)
    except queue.Empty:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
    if isinstance(found, BaseException):
        raise found
    return found
