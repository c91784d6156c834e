"""A transactional producer on the simulated log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import Partition
from tests.simulation.coordinator import Coordinator, NoAnswerError, refusal
from tests.simulation.groups import Metadata
from tests.simulation.host import Host
from tests.simulation.log import LogEntry, State

Properties = Mapping[str, Any]


class SimProducer:
    """A transactional producer, as librdkafka has it: records wait in its queue until `poll` or the commit.

    Records are numbered, by partition, in each epoch. One whose answer is missing is sent again under its number; but
    an abort purges it, and gives its number to the next record of that partition (`rd_kafka_toppar_purge_queues`:
    "advancing epoch base msgid"), also where the broker has it.
    """

    def __init__(self, coordinator: Coordinator, host: Host, properties: Properties) -> None:
        self._at, self._host = coordinator, host
        self._id: str = properties["transactional.id"]
        self._timeout_s = properties["transaction.timeout.ms"] / 1_000
        self._message_s = properties["message.timeout.ms"] / 1_000
        if properties["partitioner"] != "murmur2_random":
            raise ValueError("keys would land elsewhere than Java's clients have them")
        self._epoch = -1
        self._queue: list[tuple[str, LogEntry]] = []
        self._open, self._sent = False, False
        self._numbers: Counter[Partition] = Counter()
        #: Sent, and not answered yet: records, and the number and partition of each.
        self._unanswered: list[tuple[tuple[str, LogEntry], Partition, int]] = []
        self._undelivered: KafkaException | None = None

    def init_transactions(self, timeout: float) -> None:
        """Fences those before."""
        self._epoch = self._host.request("init_transactions", lambda: self._at.init(self._id), timeout)
        self._numbers.clear()

    def begin_transaction(self) -> None:
        """Opens one; nothing is asked of the broker yet."""
        if self._open or self._epoch < 0:
            raise refusal(KafkaError._STATE)
        self._host.request("begin_transaction", lambda: None)
        self._open, self._sent, self._undelivered = True, False, None

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, timestamp: int
    ) -> None:
        """Puts a record into the queue."""
        if not self._open:
            raise refusal(KafkaError._STATE)
        self._queue.append((topic, LogEntry((topic, partition), -1, key, value, timestamp)))

    def poll(self, timeout: float) -> int:
        """Serves the client: what is in the queue is sent."""
        if timeout:
            self._host.wait(lambda: False, timeout)
        self._send()
        return 0

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Metadata, timeout: float
    ) -> None:
        """Committed with the transaction."""
        self._opened()
        self._host.request(
            "send_offsets_to_transaction",
            lambda: self._at.add_offsets(self._id, self._epoch, self._timeout_s, group_metadata, positions),
            timeout,
        )
        self._sent = True

    def commit_transaction(self, timeout: float) -> None:
        """All of it counts from now on; not where a record didn't arrive."""
        self._opened()
        self._send()
        if self._undelivered is not None:
            raise self._undelivered
        self._ended("commit_transaction", State.COMMITTED, timeout)

    def abort_transaction(self, timeout: float) -> None:
        """None of it ever was."""
        self._opened()
        self._queue.clear()
        self._numbers.subtract(of for _, of, _ in self._unanswered)
        self._unanswered.clear()
        self._ended("abort_transaction", State.ABORTED, timeout)

    def purge(self) -> None:
        """Forgets what waits."""
        self._queue.clear()

    def _ended(self, call: str, state: State, timeout: float) -> None:
        # A transaction that the broker has never heard of ends here.
        self._host.request(call, (lambda: self._end(state)) if self._sent else (lambda: None), timeout)
        self._open = False

    def _end(self, state: State) -> None:
        if self._undelivered is not None:
            # What never arrived must not arrive any more.
            self._epoch, self._undelivered = self._at.bump(self._id, self._epoch), None
            self._numbers.clear()
        self._at.end(self._id, self._epoch, state)

    def _opened(self) -> None:
        if not self._open:
            raise refusal(KafkaError._STATE)

    def _send(self) -> None:
        fresh, self._queue = self._queue, []
        if self._undelivered is not None:
            return
        self._unanswered += map(self._numbered, fresh)
        if not self._unanswered:
            return
        self._sent = True
        sent = [record for record, _, _ in self._unanswered]
        numbers = [number for _, _, number in self._unanswered]
        try:
            self._host.request(
                "produce",
                lambda: self._at.produce(self._id, self._epoch, self._timeout_s, sent, numbers),
                self._message_s,
            )
        except NoAnswerError:
            return
        except KafkaException as failure:
            fatal = failure.args[0].fatal()
            self._undelivered = failure if fatal else refusal(failure.args[0].code(), abort=True)
        self._unanswered = []

    def _numbered(self, record: tuple[str, LogEntry]) -> tuple[tuple[str, LogEntry], Partition, int]:
        of = self._at.place(*record)
        self._numbers[of] += 1
        return record, of, self._numbers[of] - 1
