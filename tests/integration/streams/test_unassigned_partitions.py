"""A group that leaves a partition to nobody is balanced anew."""

from __future__ import annotations

import time
from concurrent.futures import Future

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import ConsumerGroupDescription

from tests.integration.figures import leave
from tests.integration.streams.conftest import Broker, wait_until
from tests.integration.streams.test_killed_workers import made

#: Longer than the test waits: nobody's session ends in it.
SETTINGS = {"session_timeout_ms": 20_000}
PARTITIONS = 4
#: Two looks, the rebalance that is called for, heartbeats of two seconds, and a machine that is busy with others.
SOON_S = 15.0


def shares(broker: Broker) -> list[int]:
    """How many partitions the coordinator says each member is to have; empty while it balances."""
    group = f"mesh.{broker.name('total')}"
    asked: Future[ConsumerGroupDescription] = broker.admin.describe_consumer_groups([group])[group]
    told = asked.result(10)
    if told.state != ConsumerGroupState.STABLE:
        return []
    return sorted(len(each.assignment.topic_partitions) for each in told.members)


def test_what_a_worker_left_between_two_rebalances_is_read_again(broker: Broker) -> None:
    """It died before it gave back what another was to have, and came back within its session."""
    topic, _ = made(broker, PARTITIONS)
    first = broker.pipeline("total", 0, SETTINGS)
    first.start()
    wait_until("it has all", lambda: first.run_once() == 0 and len(first.partitions) == PARTITIONS)
    other = broker.pipeline("total", 1, SETTINGS)
    other.start()
    # The client of the first joins again by itself; its application, which would give partitions back, does nothing.
    wait_until("a rebalance", lambda: other.run_once() == 0 and shares(broker) == [0, 2])
    first.close()
    again = broker.pipeline("total", 0, SETTINGS)
    again.start()
    began = time.monotonic()
    wait_until("it is back", lambda: again.run_once() == 0 and bool(again.partitions), SOON_S)
    assert (len(again.partitions), len(other.partitions)) == (2, 0), "a rebalance came by itself"

    def whole() -> bool:
        again.run_once(), other.run_once()
        return len(again.partitions) == len(other.partitions) == 2

    wait_until("all partitions are read", whole, SOON_S)
    leave("unread", duration_s=round(time.monotonic() - began, 2))
    broker.feed(topic, [(f"n{number}", 1) for number in range(40)])
    left = [40]

    def processed() -> bool:
        left[0] -= again.run_once() + other.run_once()
        return left[0] <= 0

    wait_until("all is processed", processed, SOON_S)
    wait_until("who passed by is gone", lambda: shares(broker) == [2, 2], SOON_S)
    again.close()
    other.close()
