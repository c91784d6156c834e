"""The transactions of one worker slot: the order of a commit, and recovery after a failed one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import Clients, Clock, Consumer, Partition, Producer, ProducerRecords
from streams.errors import FencedError, UnavailableError
from streams.kafka_errors import ErrorAction, error_action, stopped_by
from streams.settings import PipelineSettings

log = structlog.get_logger()

#: Pause before a call is repeated; the client is polled meanwhile.
_RETRY_WAIT_S = 0.1


class Transactions:
    """The slot's transactional producer; after each failed transaction a new one with the same `transactional.id`."""

    def __init__(self, clients: Clients, settings: PipelineSettings, clock: Clock) -> None:
        self._clients, self._settings, self._clock = clients, settings, clock
        self._current: Producer | None = None
        #: Set when the worker is to stop: then a failed transaction is left to the slot's next worker to recover.
        self.stopping = False

    def start(self) -> None:
        """Fence the previous producer with this `transactional.id`.

        Its open transaction is aborted, or its commit ends. Raise UnavailableError if that takes longer than
        `recovery_timeout_s`.
        """
        deadline = self._clock() + self._settings.recovery_timeout_s
        while (error := self._initialize(deadline)) is not None:
            self._discard()
            if error_action(error) is ErrorAction.STOP:
                raise stopped_by(error)
            if self.stopping or self._clock() >= deadline:
                raise UnavailableError(f"init_transactions: {error.name()}")
            log.warning("producer.not-ready", error=error.name())

    def publish(
        self,
        outgoing: Sequence[ProducerRecords],
        next_offsets: Mapping[Partition, int],
        consumer: Consumer,
        metadata: str = "",
    ) -> None:
        """Publish records and commit input offsets in one transaction: all become visible together, or nothing does.

        `next_offsets` are last processed + 1 by partition; `metadata` is stored with each. After a KafkaException the
        caller must call `recover`. No record may be read while a transaction is open.
        """
        # 1. Readers of committed records see nothing of the following until step 4 succeeds.
        self._producer.begin_transaction()
        # 2. Outputs, state changes and dead letters.
        for records in outgoing:
            self._produce(records)
        # 3. The offsets, with the group's current generation: the broker rejects them if the partitions were
        # reassigned.
        positions = [
            TopicPartition(*partition, offset, metadata) for partition, offset in next_offsets.items()
        ]
        deadline = self._clock() + self._settings.commit_timeout_s
        if positions:
            self._retrying(
                deadline,
                lambda timeout_s: self._producer.send_offsets_to_transaction(
                    positions, consumer.consumer_group_metadata(), timeout_s
                ),
            )
        # 4. The commit waits until every record of step 2 has arrived, and fails if one didn't.
        self._retrying(deadline, self._producer.commit_transaction)

    def recover(self, error: KafkaError) -> bool:
        """Recover from a failed `publish`: afterwards no transaction is open, and none can still be committed.

        Return whether the transaction is known not to have been committed; if it isn't known, the group's committed
        offsets show it. Raise StreamError if this worker can't continue.
        """
        action = error_action(error)
        log.warning("transaction.failed", error=error.name(), action=action.name)
        if action is ErrorAction.STOP:
            raise stopped_by(error)
        if self.stopping:
            raise UnavailableError(f"stopping while a transaction failed: {error.name()}")
        aborted = action is ErrorAction.ABORT and self._aborted()
        # Never use the same producer after an abort: librdkafka reuses the sequence numbers of records that were still
        # unacknowledged for the next transaction of the same epoch. If the broker had written those records, it takes
        # the new ones for duplicates, and commits the next transaction without them (docs/decisions/
        # never-the-same-producer-after-an-abort.md).
        self.replace()
        return aborted

    def replace(self) -> None:
        """Replace the producer by a new one with the same `transactional.id`.

        Its initialization fences the old one and ends its open transaction.
        """
        self._discard()
        self.start()

    def wait(self, seconds: float = _RETRY_WAIT_S) -> None:
        """Poll the client for a moment."""
        self._producer.poll(seconds)

    def close(self) -> None:
        """Close without another transaction."""
        self._discard()

    @property
    def _producer(self) -> Producer:
        if self._current is None:
            raise RuntimeError("start() must be called first")
        return self._current

    def _initialize(self, deadline: float) -> KafkaError | None:
        self._current = self._clients.producer()
        try:
            self._current.init_transactions(min(5.0, max(1.0, deadline - self._clock())))
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            return error
        return None

    def _produce(self, records: ProducerRecords) -> None:
        produce, topic, partition = self._producer.produce, records.topic, records.partition
        stamps = records.timestamps_ms or repeat(0, len(records))
        # The only loop over single records of a batch in Python: it holds nothing but the client's call.
        for key, value, stamp in zip(records.keys, records.values, stamps, strict=True):
            try:
                produce(topic, value, key, partition, timestamp=stamp)
            except BufferError:
                self._queue_later(records, key, value, stamp)
        self._producer.poll(0)

    def _queue_later(
        self, records: ProducerRecords, key: bytes | None, value: bytes | None, timestamp_ms: int
    ) -> None:
        """Wait until the client's queue has room, at most as long as a commit may take."""
        deadline = self._clock() + self._settings.commit_timeout_s
        while True:
            try:
                self._producer.produce(records.topic, value, key, records.partition, timestamp=timestamp_ms)
            except BufferError:
                if self._clock() >= deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                self._producer.poll(_RETRY_WAIT_S)
            else:
                return

    def _retrying(self, deadline: float, call: Callable[[float], None]) -> None:
        while True:
            try:
                return call(max(0.1, deadline - self._clock()))
            except KafkaException as failure:
                if error_action(failure.args[0]) is not ErrorAction.RETRY or self._clock() >= deadline:
                    raise
            self._producer.poll(_RETRY_WAIT_S)

    def _aborted(self) -> bool:
        try:
            deadline = self._clock() + self._settings.commit_timeout_s
            self._retrying(deadline, self._producer.abort_transaction)
        except KafkaException as failure:
            # Only fencing is certain: an abort fails even fatally if it meets the first produce request in flight.
            log.warning("abort.failed", error=failure.args[0].name())
            if isinstance(stopped := stopped_by(failure.args[0]), FencedError):
                raise stopped from None
            return False
        return True

    def _discard(self) -> None:
        if self._current is not None:
            self._current.purge()
            self._current = None
