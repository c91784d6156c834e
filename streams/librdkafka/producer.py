"""Why a producer's calls fail: librdkafka tells it beside them, and the calls themselves by the names of consequences.

A record that the broker refuses makes the commit fail as "inconsistent"; a wrong password makes every call time out.
Each call that has a timeout comes back in time (`streams.librdkafka.deadline`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Producer as KafkaProducer

from streams.librdkafka.deadline import call_with_deadline

#: Refusals that trying again doesn't change, before somebody acts: rights, topics that aren't there, sizes.
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


#: Between two questions that keep a client awake, and how long each may take.
_WAKE_INTERVAL_S: Final = 0.05
_WAKE_TIMEOUT_S: Final = 0.5


class ReportedErrors:
    """What a client was told beside its calls. It holds no client, so that one that is let go is gone at once."""

    def __init__(self) -> None:
        #: The broker doesn't take the client's user or password.
        self.authentication: KafkaError | None = None
        #: A record was refused for a reason that lasts.
        self.record: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's `error_cb`."""
        if error.code() == KafkaError._AUTHENTICATION:
            self.authentication = error

    def on_delivery(self, error: KafkaError | None, _: object) -> None:
        """librdkafka's delivery report."""
        if error is not None and error.code() in _PERMANENT:
            self.record = error


class TransactionalProducer(KafkaProducer):
    """A transactional producer whose calls raise the cause, where librdkafka has told one.

    `topic` is any that it may write to.
    """

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
        """KafkaException of the refused user, where that is why."""
        initialise = super().init_transactions
        try:
            with self._kept_awake():
                call_with_deadline(lambda: initialise(timeout), timeout)
        except KafkaException:
            self.poll(0)
            _raise_instead(self._reported.authentication)
            raise

    @contextmanager
    def _kept_awake(self) -> Iterator[None]:
        """Has the client look again at once, whenever it has something to wait for.

        Where no broker is connected yet, and where a dead worker's transaction is still being aborted, librdkafka looks
        again after half a second, or with whatever else it is asked: a slot starts in 0.14 s in place of 0.6 to 1.1 s.
        """
        done = threading.Event()

        def ask() -> None:
            while not done.wait(_WAKE_INTERVAL_S):
                with suppress(KafkaException):
                    self.list_topics(self._topic, _WAKE_TIMEOUT_S)

        asking = threading.Thread(target=ask, name="awake", daemon=True)
        asking.start()
        try:
            yield
        finally:
            done.set()
            asking.join()

    def commit_transaction(self, timeout: float = -1) -> None:
        """KafkaException of the refused record, where that is why."""
        commit = super().commit_transaction
        try:
            call_with_deadline(lambda: commit(timeout), timeout)
        except KafkaException:
            self.poll(0)
            _raise_instead(self._reported.record)
            raise

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """KafkaException in time, whatever the group's coordinator does."""
        send = super().send_offsets_to_transaction
        call_with_deadline(lambda: send(positions, group_metadata, timeout), timeout)

    def abort_transaction(self, timeout: float = -1) -> None:
        """KafkaException in time."""
        abort = super().abort_transaction
        call_with_deadline(lambda: abort(timeout), timeout)


def _raise_instead(cause: KafkaError | None) -> None:
    if cause is not None:
        raise KafkaException(KafkaError(cause.code())) from None
