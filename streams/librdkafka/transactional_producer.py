"""A transactional producer whose calls return in time and raise the cause of a failure.

librdkafka reports causes only to callbacks: a record that the broker rejects makes the commit fail as "inconsistent", a
wrong password makes every call time out. Calls that may never return get a deadline (`streams.librdkafka.deadline`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Producer as KafkaProducer

from streams.librdkafka.deadline import call_with_deadline

#: Delivery errors that a retry doesn't change: authorization, missing topics, sizes.
_PERMANENT: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)
#: Pause between two requests that wake a client, and the timeout of each.
_WAKE_INTERVAL_S: Final = 0.05
_WAKE_TIMEOUT_S: Final = 0.5


class ReportedErrors:
    """Errors that a client reported to its callbacks. Holds no reference to the client, so it can be deleted."""

    def __init__(self) -> None:
        #: The broker rejected the client's user or password.
        self.authentication: KafkaError | None = None
        #: A record was rejected for a permanent reason.
        self.record: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Take an error from librdkafka's `error_cb`."""
        if error.code() == KafkaError._AUTHENTICATION:
            self.authentication = error

    def on_delivery(self, error: KafkaError | None, _: object) -> None:
        """Take a delivery report."""
        if error is not None and error.code() in _PERMANENT:
            self.record = error


class TransactionalProducer(KafkaProducer):
    """A producer of transactions. `topic` is any topic that its user may write to."""

    def __init__(self, properties: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._reported = ReportedErrors()
        super().__init__(
            {
                **properties,
                "error_cb": self._reported.on_error,
                "on_delivery": self._reported.on_delivery,
                "delivery.report.only.error": True,
            }
        )

    def init_transactions(self, timeout: float = 30.0) -> None:
        """Fence the previous producer; raise a KafkaException, the authentication error if there was one."""
        initialize = super().init_transactions
        try:
            with self._kept_awake():
                call_with_deadline(lambda: initialize(timeout), timeout)
        except KafkaException:
            self.poll(0)
            _raise_cause(self._reported.authentication)
            raise

    @contextmanager
    def _kept_awake(self) -> Iterator[None]:
        """Send small requests meanwhile, so that the client checks its state at once instead of every 0.5 s.

        It has to wait while no broker is connected, and while a dead worker's transaction is being aborted. With the
        requests a slot starts in 0.14 s instead of 0.6 to 1.1 s.
        """
        done = threading.Event()

        def wake() -> None:
            while not done.wait(_WAKE_INTERVAL_S):
                with suppress(KafkaException):
                    self.list_topics(self._topic, _WAKE_TIMEOUT_S)

        waker = threading.Thread(target=wake, name="keep-awake", daemon=True)
        waker.start()
        try:
            yield
        finally:
            done.set()
            waker.join()

    def commit_transaction(self, timeout: float = -1) -> None:
        """Commit; raise a KafkaException, the error of a rejected record if there was one."""
        commit = super().commit_transaction
        try:
            call_with_deadline(lambda: commit(timeout), timeout)
        except KafkaException:
            self.poll(0)
            _raise_cause(self._reported.record)
            raise

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """Add offsets to the transaction; raise a KafkaException after the timeout at the latest."""
        send = super().send_offsets_to_transaction
        call_with_deadline(lambda: send(positions, group_metadata, timeout), timeout)

    def abort_transaction(self, timeout: float = -1) -> None:
        """Abort; raise a KafkaException after the timeout at the latest."""
        abort = super().abort_transaction
        call_with_deadline(lambda: abort(timeout), timeout)


def _raise_cause(cause: KafkaError | None) -> None:
    if cause is not None:
        raise KafkaException(KafkaError(cause.code())) from None
