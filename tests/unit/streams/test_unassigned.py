"""When a worker checks its group for unassigned partitions, and when it requests a rebalance."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.clients import Partition
from streams.settings import PipelineSettings
from streams.testing.memory_log import MemoryClients, MemoryLog
from streams.unassigned import UnassignedPartitionMonitor

ONE = frozenset({("item", 1)})
ANOTHER = frozenset({("item", 2)})
NONE = frozenset[Partition]()
INTERVAL_S = PipelineSettings().unassigned_check_interval_s


class ScriptedGroup(MemoryClients):
    """Clients that return given sets of unassigned partitions, then none; counts checks and rebalance requests."""

    now_s = 100.0
    rebalances_complete = True

    def __init__(self, *unassigned: frozenset[Partition] | None) -> None:
        super().__init__(MemoryLog(), "mesh.total", "mesh.total.0")
        self._answers = list(unassigned)
        #: Times of the checks, in seconds since the start.
        self.checks_s = list[float]()
        self.requested, self.closed = 0, 0

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """Return the next answer."""
        self.checks_s.append(self.now_s - 100)
        return self._answers.pop(0) if self._answers else NONE

    def request_rebalance(self) -> ScriptedGroup:
        """Return this object: it is the request too."""
        self.requested += 1
        return self

    def completed(self) -> bool:
        """Return whether the requested rebalance has completed."""
        return self.rebalances_complete

    def close(self) -> None:
        """Count the call."""
        self.closed += 1


def monitor_for(group: ScriptedGroup, seconds: float) -> UnassignedPartitionMonitor:
    """Return a monitor of the group, after it was polled every half second for this time."""
    monitor = UnassignedPartitionMonitor(["item"], group, PipelineSettings(), lambda: group.now_s)
    end_s = group.now_s + seconds
    while group.now_s < end_s:
        group.now_s += 0.5
        monitor.poll()
    return monitor


def test_a_group_is_checked_soon_after_the_start_and_then_at_intervals() -> None:
    """A restarted worker may have left partitions unassigned, so the first check comes soon."""
    group = ScriptedGroup()
    monitor_for(group, 2 * INTERVAL_S + 3)
    assert group.checks_s == [2, 2 + INTERVAL_S, 2 + 2 * INTERVAL_S]
    assert group.requested == 0


def test_a_partition_that_is_unassigned_in_two_checks_leads_to_one_rebalance() -> None:
    """The request is closed when the rebalance has completed."""
    group = ScriptedGroup(ONE, ONE | ANOTHER)
    monitor = monitor_for(group, 10)
    assert group.checks_s == [2, 4, 6.5]
    assert (group.requested, group.closed, monitor.rebalance_pending) == (1, 1, False)


@pytest.mark.parametrize("unassigned", [(ONE, NONE), (ONE, ANOTHER), (NONE, ONE)])
def test_a_partition_that_is_unassigned_for_a_moment_leads_to_no_rebalance(
    unassigned: tuple[frozenset[Partition], ...],
) -> None:
    """During a rebalance a partition is revoked before it is assigned again."""
    group = ScriptedGroup(*unassigned)
    monitor_for(group, 30)
    assert group.requested == 0


def test_a_check_without_an_answer_is_repeated_with_each_poll() -> None:
    """No poll waits for the answer."""
    group = ScriptedGroup(None, None, ONE, ONE)
    monitor_for(group, 6)
    assert group.checks_s[:4] == [2, 2.5, 3, 5]
    assert group.requested == 1


def test_a_rebalance_that_does_not_complete_is_requested_again() -> None:
    """The group may have had no coordinator."""
    group = ScriptedGroup(*[ONE] * 10)
    group.rebalances_complete = False
    monitor_for(group, 45)
    assert group.requested == 3
    assert group.closed == 2


def test_closing_the_monitor_closes_its_request() -> None:
    """The transient member leaves the group together with the worker."""
    group = ScriptedGroup(ONE, ONE)
    group.rebalances_complete = False
    monitor = monitor_for(group, 5)
    assert monitor.rebalance_pending
    monitor.close()
    assert (group.closed, monitor.rebalance_pending) == (1, False)
