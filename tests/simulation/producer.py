"""A transactional producer on the simulated log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import Partition
from tests.simulation.coordinator import NoAnswerError, TransactionCoordinator, kafka_exception
from tests.simulation.groups import MemberMetadata
from tests.simulation.log import LogEntry, TransactionState
from tests.simulation.virtual_time import Host

Properties = Mapping[str, Any]


class SimProducer:
    """A transactional producer as librdkafka implements it: records stay in its queue until `poll` or the commit.

    Records have a sequence number per partition and epoch. A record without an answer is sent again under its number.
    But an abort purges it, and gives its number to the next record of that partition (`rd_kafka_toppar_purge_queues`:
    "advancing epoch base msgid"), even if the broker has written it.
    """

    def __init__(self, coordinator: TransactionCoordinator, host: Host, properties: Properties) -> None:
        self._coordinator, self._host = coordinator, host
        self._id: str = properties["transactional.id"]
        self._timeout_s = properties["transaction.timeout.ms"] / 1_000
        self._message_timeout_s = properties["message.timeout.ms"] / 1_000
        if properties["partitioner"] != "murmur2_random":
            raise ValueError(
                "partitioner must be murmur2_random: keys must go where Java's clients send them"
            )
        self._epoch = -1
        self._queue: list[tuple[str, LogEntry]] = []
        self._open, self._sent = False, False
        self._next_numbers: Counter[Partition] = Counter()
        #: Sent records without an answer, each with its partition and number.
        self._unanswered: list[tuple[tuple[str, LogEntry], Partition, int]] = []
        self._delivery_error: KafkaException | None = None

    def init_transactions(self, timeout: float) -> None:
        """Fence earlier producers with this transactional id."""
        self._epoch = self._host.request(
            "init_transactions", lambda: self._coordinator.init_producer(self._id), timeout
        )
        self._next_numbers.clear()

    def begin_transaction(self) -> None:
        """Open a transaction; nothing is sent to the broker yet."""
        if self._open or self._epoch < 0:
            raise kafka_exception(KafkaError._STATE)
        self._host.request("begin_transaction", lambda: None)
        self._open, self._sent, self._delivery_error = True, False, None

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, timestamp: int
    ) -> None:
        """Add a record to the queue."""
        if not self._open:
            raise kafka_exception(KafkaError._STATE)
        record = LogEntry((topic, partition), -1, key, value, timestamp)
        record.polled_version = self._host.polled_version
        self._queue.append((topic, record))

    def poll(self, timeout: float) -> int:
        """Send the queue."""
        if timeout:
            self._host.wait(lambda: False, timeout)
        self._send()
        return 0

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: MemberMetadata, timeout: float
    ) -> None:
        """Add offsets that are committed with the transaction."""
        self._check_open()
        self._host.request(
            "send_offsets_to_transaction",
            lambda: self._coordinator.add_offsets(
                self._id, self._epoch, self._timeout_s, group_metadata, positions
            ),
            timeout,
        )
        self._sent = True

    def commit_transaction(self, timeout: float) -> None:
        """Commit. Raise KafkaException if a record was not delivered."""
        self._check_open()
        self._send()
        if self._delivery_error is not None:
            raise self._delivery_error
        self._end_transaction("commit_transaction", TransactionState.COMMITTED, timeout)

    def abort_transaction(self, timeout: float) -> None:
        """Abort, and drop queued and unanswered records."""
        self._check_open()
        self._queue.clear()
        self._next_numbers.subtract(partition for _, partition, _ in self._unanswered)
        self._unanswered.clear()
        self._end_transaction("abort_transaction", TransactionState.ABORTED, timeout)

    def purge(self) -> None:
        """Drop queued records."""
        self._queue.clear()

    def _end_transaction(self, call: str, end: TransactionState, timeout: float) -> None:
        # If nothing was sent the broker doesn't know the transaction: there is nothing to end there.
        self._host.request(call, (lambda: self._send_end(end)) if self._sent else (lambda: None), timeout)
        self._open = False

    def _send_end(self, end: TransactionState) -> None:
        if self._delivery_error is not None:
            # A new epoch keeps undelivered records from arriving later.
            self._epoch = self._coordinator.bump_epoch(self._id, self._epoch)
            self._delivery_error = None
            self._next_numbers.clear()
        self._coordinator.end(self._id, self._epoch, end)

    def _check_open(self) -> None:
        if not self._open:
            raise kafka_exception(KafkaError._STATE)

    def _send(self) -> None:
        queued, self._queue = self._queue, []
        if self._delivery_error is not None:
            return
        self._unanswered += map(self._with_sequence_number, queued)
        if not self._unanswered:
            return
        self._sent = True
        records = [record for record, _, _ in self._unanswered]
        numbers = [number for _, _, number in self._unanswered]
        try:
            self._host.request(
                "produce",
                lambda: self._coordinator.produce(self._id, self._epoch, self._timeout_s, records, numbers),
                self._message_timeout_s,
            )
        except NoAnswerError:
            return
        except KafkaException as error:
            fatal = error.args[0].fatal()
            self._delivery_error = error if fatal else kafka_exception(error.args[0].code(), abort=True)
        self._unanswered = []

    def _with_sequence_number(
        self, record: tuple[str, LogEntry]
    ) -> tuple[tuple[str, LogEntry], Partition, int]:
        partition = self._coordinator.choose_partition(*record)
        self._next_numbers[partition] += 1
        return record, partition, self._next_numbers[partition] - 1
