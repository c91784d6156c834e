"""A partition that the group has assigned to no member is consumed again after a rebalance."""

from __future__ import annotations

import time
from concurrent.futures import Future

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import ConsumerGroupDescription

from schemas.topics import group
from tests.integration.cluster import wait_until
from tests.integration.figures import write_figures
from tests.integration.streams.broker import Broker, process

#: Longer than the test waits: no session times out meanwhile.
SETTINGS = {"session_timeout_ms": 20_000}
PARTITIONS = 4
#: Two checks, the requested rebalance, heartbeats of two seconds, and the delays of a shared machine.
REASSIGNED_MAX_S = 15.0


def assigned_counts(broker: Broker) -> list[int]:
    """Return how many partitions the coordinator has assigned to each member; empty during a rebalance."""
    group_id = group(broker.step_name("total"))
    future: Future[ConsumerGroupDescription] = broker.admin.describe_consumer_groups([group_id])[group_id]
    description = future.result(10)
    if description.state != ConsumerGroupState.STABLE:
        return []
    return sorted(len(member.assignment.topic_partitions) for member in description.members)


def test_partitions_of_a_member_that_died_between_two_rebalances_are_consumed(broker: Broker) -> None:
    """The member died before it revoked partitions for another, and came back within its session timeout."""
    topic, _ = broker.create_total_topics(PARTITIONS)
    first = broker.pipeline("total", 0, SETTINGS)
    first.start()
    wait_until("the first has all", lambda: first.run_once() == 0 and len(first.partitions) == PARTITIONS)
    other = broker.pipeline("total", 1, SETTINGS)
    other.start()
    # The client of the first joins again by itself; its application, which would revoke partitions, does nothing.
    wait_until("a rebalance", lambda: other.run_once() == 0 and assigned_counts(broker) == [0, 2])
    first.close()
    restarted = broker.pipeline("total", 0, SETTINGS)
    restarted.start()
    began = time.monotonic()
    wait_until(
        "the first is back",
        lambda: restarted.run_once() == 0 and bool(restarted.partitions),
        REASSIGNED_MAX_S,
    )
    assert (len(restarted.partitions), len(other.partitions)) == (2, 0), "a rebalance happened by itself"

    def all_assigned() -> bool:
        restarted.run_once(), other.run_once()
        return len(restarted.partitions) == len(other.partitions) == 2

    wait_until("all partitions are consumed", all_assigned, REASSIGNED_MAX_S)
    write_figures("unread", duration_s=round(time.monotonic() - began, 2))
    broker.write_items(topic, [(f"n{number}", 1) for number in range(40)])
    process(restarted, other, records=40, timeout_s=REASSIGNED_MAX_S)
    wait_until("the transient member is gone", lambda: assigned_counts(broker) == [2, 2], REASSIGNED_MAX_S)
    restarted.close()
    other.close()
