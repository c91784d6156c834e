"""A slot's transactions: the order of a commit, and the way back after one that failed."""

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

#: How long to wait before the same call again; it is spent serving the client.
_RETRY_WAIT_S = 0.1


class Transactions:
    """One slot's producer, replaced by a new one of the same `transactional.id` after each transaction that failed."""

    def __init__(self, clients: Clients, settings: PipelineSettings, clock: Clock) -> None:
        self._clients, self._settings, self._clock = clients, settings, clock
        self._current: Producer | None = None
        #: Told to stop: what fails from now on isn't mended here; the slot's next worker does so at its start.
        self.stopping = False

    def start(self) -> None:
        """Fences whoever used this `transactional.id` before; its open transaction is aborted, or its commit ended.

        UnavailableError where that isn't done within `recovery_timeout_s`.
        """
        deadline = self._clock() + self._settings.recovery_timeout_s
        while (error := self._initialised(deadline)) is not None:
            self._discard()
            if error_action(error) is ErrorAction.STOP:
                raise stopped_by(error)
            if self.stopping or self._clock() >= deadline:
                raise UnavailableError(f"init_transactions: {error.name()}")
            log.warning("producer.not-ready", error=error.name())

    def publish(
        self,
        outgoing: Sequence[ProducerRecords],
        offsets: Mapping[Partition, int],
        consumer: Consumer,
        metadata: str = "",
    ) -> None:
        """Outputs, changes of state, dead letters and input offsets become visible together, or not at all.

        `offsets` are those to go on from (last + 1); `metadata` is kept with each. After a KafkaException of this or of
        its halves `recover` must come next.
        """
        self.send(outgoing)
        self.commit(offsets, consumer, metadata)

    def send(self, outgoing: Sequence[ProducerRecords]) -> None:
        """Begins a transaction, and hands to the client what follows from a batch; it sends by itself from here on."""
        # 1. From here on nothing is seen by readers of committed records until step 4 has taken place.
        self._producer.begin_transaction()
        # 2. Everything that follows from the batch.
        for records in outgoing:
            self._produce(records)

    def commit(self, offsets: Mapping[Partition, int], consumer: Consumer, metadata: str = "") -> None:
        """Ends the transaction that was begun; both steps share `commit_timeout_s`. No record is read in between."""
        # 3. The offsets, under the group's generation as it is now: refused if the partitions are no longer ours.
        positions = [TopicPartition(*place, offset, metadata) for place, offset in offsets.items()]
        deadline = self._clock() + self._settings.commit_timeout_s
        if positions:
            self._retrying(
                deadline,
                lambda timeout_s: self._producer.send_offsets_to_transaction(
                    positions, consumer.consumer_group_metadata(), timeout_s
                ),
            )
        # 4. All of it, after every record of step 2 has arrived; one that didn't makes the commit fail.
        self._retrying(deadline, self._producer.commit_transaction)

    def recover(self, error: KafkaError) -> bool:
        """After a failed `publish`: no transaction is open, none of ours can still take place, the producer is new.

        Whether that one is known not to have taken place; else the group's committed offsets tell, where it moved
        them. Raises what there is to stop with.
        """
        decided = error_action(error)
        log.warning("transaction.failed", error=error.name(), verdict=decided.name)
        if decided is ErrorAction.STOP:
            raise stopped_by(error)
        if self.stopping:
            raise UnavailableError(f"told to stop while a transaction failed: {error.name()}")
        aborted = decided is ErrorAction.ABORT and self._aborted()
        # Never the same producer after an abort: librdkafka gives the numbers of records that it was still without an
        # answer for to those of the next transaction, in the same epoch. What the broker had written of them makes it
        # take the next ones for copies: the next transaction is committed without them.
        self.replace()
        return aborted

    def replace(self) -> None:
        """Throws the producer away; a new one with the same `transactional.id` fences what it left behind."""
        self._discard()
        self.start()

    def wait(self, seconds: float = _RETRY_WAIT_S) -> None:
        """A moment, spent serving the client."""
        self._producer.poll(seconds)

    def close(self) -> None:
        """Ends without another transaction."""
        self._discard()

    @property
    def _producer(self) -> Producer:
        if self._current is None:
            raise RuntimeError("start() comes first")
        return self._current

    def _initialised(self, deadline: float) -> KafkaError | None:
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
        # The one loop of a batch that Python goes through record by record: nothing in it but the client's call.
        for key, value, stamp in zip(records.keys, records.values, stamps, strict=True):
            try:
                produce(topic, value, key, partition, timestamp=stamp)
            except BufferError:
                self._queue_later(records, key, value, stamp)
        self._producer.poll(0)

    def _queue_later(
        self, records: ProducerRecords, key: bytes | None, value: bytes | None, timestamp_ms: int
    ) -> None:
        """The client's queue is full: wait for room, as long as a commit may wait."""
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
            # Fatal or not: an abort that met the first produce in flight says nothing of the slot. Fenced does.
            log.warning("abort.failed", error=failure.args[0].name())
            if isinstance(stopped := stopped_by(failure.args[0]), FencedError):
                raise stopped from None
            return False
        return True

    def _discard(self) -> None:
        if self._current is not None:
            self._current.purge()
            self._current = None
