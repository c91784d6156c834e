"""Inspection of a consumer group through its coordinator, and a short-lived member that triggers a rebalance."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from streams.clients import Partition, subscribed

#: No caller waits for the answer, so it may take long: a broker that was paused may still answer.
_ANSWER_TIMEOUT_S: Final = 60
#: Brokers that have just described the group answer this at once.
_TOPICS_TIMEOUT_S: Final = 2


class GroupInspector:
    """Finds partitions that no member of a group has; one request at a time, and no call waits for its answer.

    librdkafka remembers a group's coordinator for ever, so a new client is made after a request that failed.
    """

    def __init__(self, new_admin_client: Callable[[], AdminClient], group_id: str) -> None:
        self._new_admin_client, self._group_id = new_admin_client, group_id
        self._admin = new_admin_client()
        self._pending: Future[ConsumerGroupDescription] | None = None

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Return as `streams.clients.Clients.unassigned_partitions`."""
        if self._pending is None:
            requests = self._admin.describe_consumer_groups(
                [self._group_id], request_timeout=_ANSWER_TIMEOUT_S
            )
            self._pending = requests[self._group_id]
        if not self._pending.done():
            return None
        answer, self._pending = self._pending, None
        try:
            group = answer.result()
            # During a rebalance no partition is assigned, which means nothing.
            stable = group.state == ConsumerGroupState.STABLE
            return self._unassigned(group, inputs) if stable else frozenset()
        except KafkaException:
            self._replace_client()
            return frozenset()

    def _replace_client(self) -> None:
        old, self._admin = [self._admin], self._new_admin_client()
        # Deleting a client waits for its threads: do that in a thread of its own.
        threading.Thread(target=old.clear, name="delete-admin-client", daemon=True).start()

    def _unassigned(self, group: ConsumerGroupDescription, inputs: Sequence[str]) -> frozenset[Partition]:
        topics = self._admin.list_topics(timeout=_TOPICS_TIMEOUT_S).topics
        assigned = {
            (each.topic, each.partition)
            for member in group.members
            for each in member.assignment.topic_partitions
        }
        existing = {
            (name, number)
            for name, topic in topics.items()
            if subscribed(name, inputs)
            for number in topic.partitions
        }
        return frozenset(existing - assigned)


class TransientMember:
    """A short-lived group member that triggers a rebalance.

    It subscribes to a topic that no other member reads, so it takes no partition from anyone. Joining triggers one
    rebalance and leaving another; the other members continue with their partitions meanwhile.
    """

    def __init__(self, properties: Mapping[str, Any], topic: str) -> None:
        self._consumer = KafkaConsumer(dict(properties))
        self._joined = False
        self._consumer.subscribe([topic], on_assign=self._on_assign)

    def completed(self) -> bool:
        """Return whether a rebalance with this member has completed."""
        self._consumer.poll(0)
        return self._joined

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _on_assign(self, consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        # It doesn't call assign(), so it reads nothing.
        self._joined = True
