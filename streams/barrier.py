"""Read barrier: committed offsets and changelogs that no stale broker can report.

A broker that was paused or cut off may still answer as a group's coordinator or a changelog's leader, with what was
true earlier; but it cannot accept a write. So write a unique token first, and discard every answer without it: an
answer with the token contains everything that was written before it.
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

#: Tokens on a changelog are tombstones of keys that no entry has: they change no state, and compaction removes them.
BARRIER_KEY_PREFIX: Final = "barrier/"
#: Writes that may fail in a row before the worker stops; its supervisor restarts it after a pause.
FAILED_IN_A_ROW_MAX: Final = 20
#: Brokers answer a commit before they have written its markers: ask the coordinator again for at most this long.
_MARKER_TIMEOUT_S: Final = 1.0
_POLL_S: Final = 0.02


class ReadBarrier:
    """One slot's barrier. Each token is written in a transaction of its own, so none may be open when it is used."""

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
        #: Number of failed writes; and, by what was written to, of those since the last success.
        self.failures = 0
        self.failed_in_a_row: Counter[str] = Counter()

    def stable_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return committed offsets (0 if there is none) without a barrier, except unstable ones.

        An offset is unstable while a transaction that moves it is open.
        """
        return _offsets(self._committed(partitions))

    def committed_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return committed offsets (0 if there is none) behind a barrier; empty if they aren't certain: ask again."""
        if not partitions:
            return {}
        own, token = self._clients.barrier_partition(), uuid4().hex
        if not self._publish_token("offset", [], {own: 0}, token):
            return {}
        deadline = self._clock() + _MARKER_TIMEOUT_S
        while own not in (committed := self._committed([*partitions, own])) and self._clock() < deadline:
            self._transactions.wait(_POLL_S)
        answer = committed.pop(own, None)
        if answer is None or answer.metadata != token:
            # The token of another slot, if two share a partition; or the answer of a stale coordinator.
            log.warning("barrier.unconfirmed", topic=own[0], partition=own[1])
            return {}
        return _offsets(committed)

    def write(self, changelogs: Iterable[Partition]) -> str | None:
        """Write one token to each changelog partition; return its key, or None if that failed: try again.

        A reader that has read the token has read everything that was committed to the changelog before it.
        """
        key = f"{BARRIER_KEY_PREFIX}{uuid4().hex}"
        outgoing = [
            ProducerRecords(topic, [key.encode()], [None], partition=number) for topic, number in changelogs
        ]
        return key if self._publish_token("changelog", outgoing, {}, "") else None

    def _publish_token(
        self,
        target: str,
        outgoing: Sequence[ProducerRecords],
        offsets: Mapping[Partition, int],
        metadata: str,
    ) -> bool:
        try:
            self._transactions.publish(outgoing, offsets, self._consumer, metadata)
        except KafkaException as failure:
            self._transactions.recover(failure.args[0])
            self.failures += 1
            self.failed_in_a_row[target] += 1
            if self.failed_in_a_row[target] > FAILED_IN_A_ROW_MAX:
                raise UnavailableError(
                    f"{self.failed_in_a_row[target]} barrier writes failed in a row, "
                    f"the last with {failure.args[0].name()}"
                ) from None
            return False
        self.failed_in_a_row[target] = 0
        return True

    def _committed(self, partitions: Collection[Partition]) -> dict[Partition, TopicPartition]:
        """Ask the coordinator; return its answers by partition, except for unstable offsets."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        try:
            answers = self._consumer.committed(asked, self._settings.request_timeout_s)
        except KafkaException as failure:
            # Waiting doesn't help if the user may not read the group.
            stopped = stopped_by(failure.args[0])
            denied = stopped if isinstance(stopped, DeniedError) else None
            raise denied or UnavailableError(f"committed: {failure.args[0].name()}") from None
        stable = [each for each in answers if not _is_unstable(each)]
        for each in stable:
            if each.error:
                raise stopped_by(each.error)
        return {(each.topic, each.partition): each for each in stable}


def _offsets(committed: Mapping[Partition, TopicPartition]) -> dict[Partition, int]:
    return {partition: max(0, each.offset) for partition, each in committed.items()}


def _is_unstable(answer: TopicPartition) -> bool:
    return answer.error is not None and answer.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT
