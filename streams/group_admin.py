"""What the group's coordinator says of who reads what, and a member that only passes by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from streams.clients import Partition, subscribed

#: An answer may come when a broker that stood still goes on: nobody waits for it.
_ANSWER_TIMEOUT_S: Final = 60
#: Brokers that told of the group tell of topics at once.
_TOPICS_TIMEOUT_S: Final = 2


class GroupInspector:
    """Asks which partitions no member of a group has; one question at a time, and nobody waits for the answer.

    librdkafka remembers for ever who coordinates a group: after a question that failed there is another client.
    """

    def __init__(self, administrator: Callable[[], AdminClient], group_id: str) -> None:
        self._administrator, self._group_id = administrator, group_id
        self._admin = administrator()
        self._pending: Future[ConsumerGroupDescription] | None = None

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """As `streams.clients.Clients.unread`."""
        if self._pending is None:
            asked = self._admin.describe_consumer_groups([self._group_id], request_timeout=_ANSWER_TIMEOUT_S)
            self._pending = asked[self._group_id]
        if not self._pending.done():
            return None
        answer, self._pending = self._pending, None
        try:
            told = answer.result()
            # Between two generations nothing is anybody's.
            return self._unassigned(told, inputs) if told.state == ConsumerGroupState.STABLE else frozenset()
        except KafkaException:
            self._renew()
            return frozenset()

    def _renew(self) -> None:
        before, self._admin = [self._admin], self._administrator()
        # Letting go of a client waits for its threads: nobody else has to.
        threading.Thread(target=before.clear, name="administrator", daemon=True).start()

    def _unassigned(self, told: ConsumerGroupDescription, inputs: Sequence[str]) -> frozenset[Partition]:
        topics = self._admin.list_topics(timeout=_TOPICS_TIMEOUT_S).topics
        taken = {
            (each.topic, each.partition)
            for member in told.members
            for each in member.assignment.topic_partitions
        }
        there = {
            (name, number)
            for name, topic in topics.items()
            if subscribed(name, inputs)
            for number in topic.partitions
        }
        return frozenset(there - taken)


class TransientMember:
    """Joins a group with a topic that nobody else of it reads, so that it takes nothing from anybody, and leaves.

    A rebalance begins as it comes, and another as it goes; all others go on with what they have meanwhile.
    """

    def __init__(self, properties: Mapping[str, Any], topic: str) -> None:
        self._consumer = KafkaConsumer(dict(properties))
        self._joined = False
        self._consumer.subscribe([topic], on_assign=self._on_assign)

    def completed(self) -> bool:
        """Whether the group was balanced with it."""
        self._consumer.poll(0)
        return self._joined

    def close(self) -> None:
        """Leaves."""
        self._consumer.close()

    def _on_assign(self, consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        # It reads nothing, and gives back at once what it was given.
        self._joined = True
