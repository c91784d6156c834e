"""Answers that hold: none can come from a broker that is deposed and doesn't know it.

A broker that stood still, or was cut off from the others, may go on for a moment as the coordinator of a group or the
leader of a changelog, and tell what was so before. It can't take a write any more. So a slot writes first, a mark that
nobody else knows, and takes no answer in which that isn't: whoever tells the mark tells all that came before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from uuid import uuid4

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clients import Clients, Clock, Consumer, Partition, ProducerRecords
from streams.errors import DeniedError, UnavailableError
from streams.kafka_errors import stopped_by
from streams.settings import PipelineSettings
from streams.transactions import Transactions

log = structlog.get_logger()

#: Marks on a changelog are tombstones of keys that no entry has: they bring nothing back, and compaction removes them.
BARRIER_KEY_PREFIX: Final = "mark/"
#: Marks that may fail one after the other before the worker gives up, and is started again with a pause.
FAILED_IN_A_ROW_MAX: Final = 20
#: A transaction is answered before its end is marked everywhere: so long the group's coordinator is asked again.
_MARKER_TIMEOUT_S: Final = 1.0
_POLL_S: Final = 0.02


class ReadBarrier:
    """One slot's marks, each in a transaction of its own; not to be asked while one is open."""

    def __init__(
        self,
        clients: Clients,
        transactions: Transactions,
        consumer: Consumer,
        settings: PipelineSettings,
        clock: Clock,
    ) -> None:
        self._clients, self._transactions, self._consumer = clients, transactions, consumer
        self._settings, self._clock = settings, clock
        #: How many marks failed; and by what they were put on, how many since one was written.
        self.failures = 0
        self.failed_in_a_row: Counter[str] = Counter()

    def stable_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Committed offsets, 0 where there is none, of those that no open transaction holds; as they are told."""
        return _offsets(self._committed(partitions))

    def committed_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The same, and they hold; none where that can't be known now, and is to be asked again."""
        if not partitions:
            return {}
        place, mark = self._clients.barrier_partition(), uuid4().hex
        if not self._publish_token("offset", [], {place: 0}, mark):
            return {}
        deadline = self._clock() + _MARKER_TIMEOUT_S
        while place not in (told := self._committed([*partitions, place])) and self._clock() < deadline:
            self._transactions.wait(_POLL_S)
        own = told.pop(place, None)
        if own is None or own.metadata != mark:
            # Another slot's, where two share a place; or who answers is deposed.
            log.warning("barrier.unconfirmed", topic=place[0], partition=place[1])
            return {}
        return _offsets(told)

    def write(self, changelogs: Iterable[Partition]) -> str | None:
        """The key of a record that is now on each of these, after all that was there; None: it isn't, ask again."""
        key = f"{BARRIER_KEY_PREFIX}{uuid4().hex}"
        outgoing = [
            ProducerRecords(topic, [key.encode()], [None], partition=number) for topic, number in changelogs
        ]
        return key if self._publish_token("changelog", outgoing, {}, "") else None

    def _publish_token(
        self, on: str, outgoing: Sequence[ProducerRecords], offsets: Mapping[Partition, int], metadata: str
    ) -> bool:
        try:
            self._transactions.publish(outgoing, offsets, self._consumer, metadata)
        except KafkaException as failure:
            self._transactions.recover(failure.args[0])
            self.failures += 1
            self.failed_in_a_row[on] += 1
            if self.failed_in_a_row[on] > FAILED_IN_A_ROW_MAX:
                raise UnavailableError(
                    f"{self.failed_in_a_row[on]} marks failed one after the other, the last by {failure.args[0].name()}"
                ) from None
            return False
        self.failed_in_a_row[on] = 0
        return True

    def _committed(self, partitions: Collection[Partition]) -> dict[Partition, TopicPartition]:
        """What is committed of those that no open transaction holds."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        try:
            found = self._consumer.committed(asked, self._settings.request_timeout_s)
        except KafkaException as failure:
            # A group that we may not see doesn't come by waiting.
            stopped = stopped_by(failure.args[0])
            denied = stopped if isinstance(stopped, DeniedError) else None
            raise denied or UnavailableError(f"committed: {failure.args[0].name()}") from None
        told = [each for each in found if not _is_unstable(each)]
        for each in told:
            if each.error:
                raise stopped_by(each.error)
        return {(each.topic, each.partition): each for each in told}


def _offsets(told: Mapping[Partition, TopicPartition]) -> dict[Partition, int]:
    return {partition: max(0, each.offset) for partition, each in told.items()}


def _is_unstable(told: TopicPartition) -> bool:
    return told.error is not None and told.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT
