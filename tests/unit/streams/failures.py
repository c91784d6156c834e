"""Kafka errors, and failures of chosen producer calls on a log in memory (`MemoryLog.on_call`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, KafkaException

#: Calls of a transaction, in their order.
CALLS = ("begin_transaction", "produce", "send_offsets_to_transaction", "commit_transaction")
#: Errors that a pipeline recovers from.
ERRORS: dict[str, Callable[[], KafkaError]] = {
    "timeout": lambda: KafkaError(KafkaError._TIMED_OUT, retriable=True),
    "abort": lambda: KafkaError(KafkaError.UNKNOWN_PRODUCER_ID, txn_requires_abort=True),
    "retry": lambda: KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True),
    "in flight": lambda: KafkaError(KafkaError.INVALID_TXN_STATE, fatal=True),
}

#: A call, whether to fail "before" or "after" it took effect, and its number among the calls of that name, from 0.
Call = tuple[str, str, int]


class FailCalls:
    """Raises an error at each chosen call, once; counts all calls and the failures."""

    def __init__(self, errors: Mapping[Call, KafkaError] | None = None) -> None:
        self._errors = dict(errors or {})
        self.calls = Counter[tuple[str, str]]()
        self.failures = 0

    def __call__(self, call: str, when: str) -> None:
        """Raise the error that was chosen for this call, if any."""
        number = self.calls[call, when]
        self.calls[call, when] += 1
        error = self._errors.pop((call, when, number), None)
        if error is not None:
            self.failures += 1
            raise KafkaException(error)
