"""When a worker looks at its group, and when it calls for a rebalance."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.clients import Partition
from streams.settings import PipelineSettings
from streams.testing.memory_log import MemoryClients, MemoryLog
from streams.unassigned import UnassignedPartitionMonitor

NOBODYS = frozenset({("item", 1)})
OTHERS = frozenset({("item", 2)})
NONE = frozenset[Partition]()
INTERVAL_S = PipelineSettings().unassigned_check_interval_s


class Group(MemoryClients):
    """Tells what a test says, look after look; notes when it looked and what was called for."""

    now_s = 100.0
    hears = True

    def __init__(self, *told: frozenset[Partition] | None) -> None:
        super().__init__(MemoryLog(), "mesh.total", "mesh.total.0")
        self._told, self.looks, self.calls, self.closed = list(told), list[float](), 0, 0

    def unassigned_partitions(self, inputs: Sequence[str]) -> frozenset[Partition] | None:
        """What comes next; nothing unread when all is told."""
        self.looks.append(self.now_s - 100)
        return self._told.pop(0) if self._told else NONE

    def request_rebalance(self) -> Group:
        """Counts."""
        self.calls += 1
        return self

    def completed(self) -> bool:
        """As the test says."""
        return self.hears

    def close(self) -> None:
        """Counts."""
        self.closed += 1


def passing(group: Group, seconds: float) -> UnassignedPartitionMonitor:
    """So much time, a turn each half second."""
    oversight = UnassignedPartitionMonitor(["item"], group, PipelineSettings(), lambda: group.now_s)
    end_s = group.now_s + seconds
    while group.now_s < end_s:
        group.now_s += 0.5
        oversight.poll()
    return oversight


def test_a_group_that_reads_all_is_looked_at_soon_and_then_rarely() -> None:
    """Soon after the start, as a worker that is back may have left something behind."""
    group = Group()
    passing(group, 2 * INTERVAL_S + 3)
    assert group.looks == [2, 2 + INTERVAL_S, 2 + 2 * INTERVAL_S]
    assert group.calls == 0


def test_what_is_nobodys_twice_is_called_for() -> None:
    """Once, when the group hears it."""
    group = Group(NOBODYS, NOBODYS | OTHERS)
    oversight = passing(group, 10)
    assert group.looks == [2, 4, 6.5]
    assert (group.calls, group.closed, oversight.rebalance_pending) == (1, 1, False)


@pytest.mark.parametrize("told", [(NOBODYS, NONE), (NOBODYS, OTHERS), (NONE, NOBODYS)])
def test_what_is_nobodys_in_passing_is_left_alone(told: tuple[frozenset[Partition], ...]) -> None:
    """A rebalance takes back and then gives: between the two a partition is nobody's."""
    group = Group(*told)
    passing(group, 30)
    assert group.calls == 0


def test_an_answer_that_is_late_is_waited_for_by_nobody() -> None:
    """It is asked for again in each turn."""
    group = Group(None, None, NOBODYS, NOBODYS)
    passing(group, 6)
    assert group.looks[:4] == [2, 2.5, 3, 5]
    assert group.calls == 1


def test_a_call_that_is_not_heard_is_made_again() -> None:
    """The group may have had no coordinator."""
    group = Group(*[NOBODYS] * 10)
    group.hears = False
    passing(group, 45)
    assert group.calls == 3
    assert group.closed == 2


def test_a_worker_that_ends_calls_no_more() -> None:
    """What passes by leaves with it."""
    group = Group(NOBODYS, NOBODYS)
    group.hears = False
    oversight = passing(group, 5)
    assert oversight.rebalance_pending
    oversight.close()
    assert (group.closed, oversight.rebalance_pending) == (1, False)
