"""Detection of partitions that a group leaves unassigned, and a rebalance that assigns them.

A static member that dies after a rebalance, before it has revoked what others are to get, and that returns within its
session timeout, gets its old partitions back without a rebalance (KIP-345). The partitions it was to revoke then belong
to no member: in a cooperative rebalance (KIP-429) the others get them only by a second rebalance, which never comes. No
record is lost, but these partitions are no longer processed (docs/decisions/cooperative-sticky.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from streams.clients import Clients, Clock, Partition, RebalanceRequest
from streams.settings import PipelineSettings

log = structlog.get_logger()

#: A partition counts as unassigned if it is so in two checks at this distance: members that revoke need some time.
_CONFIRM_AFTER_S: Final = 2.0
#: A rebalance request that isn't completed after this time is closed, and repeated if it is still needed.
_REBALANCE_TIMEOUT_S: Final = 15.0


class UnassignedPartitionMonitor:
    """One worker's check of its group; no call waits for an answer."""

    def __init__(
        self, inputs: Sequence[str], clients: Clients, settings: PipelineSettings, clock: Clock
    ) -> None:
        self._inputs, self._clients, self._settings, self._clock = inputs, clients, settings, clock
        #: Unassigned partitions at the last check.
        self._unassigned: frozenset[Partition] = frozenset()
        self._rebalance: RebalanceRequest | None = None
        #: Time of the next check, or of the time-out of the rebalance request.
        self.due_s = clock() + _CONFIRM_AFTER_S

    @property
    def rebalance_pending(self) -> bool:
        """Whether a rebalance was requested and isn't completed yet."""
        return self._rebalance is not None

    def poll(self) -> None:
        """Check the group if a check is due, or follow the rebalance that was requested."""
        if self._rebalance is not None:
            self._await_rebalance(self._rebalance)
        elif self._clock() >= self.due_s:
            self._check()

    def close(self) -> None:
        """Close a pending rebalance request."""
        if self._rebalance is not None:
            self._rebalance.close()
            self._rebalance = None

    def _check(self) -> None:
        unassigned = self._clients.unassigned_partitions(self._inputs)
        if unassigned is None:
            return
        confirmed, self._unassigned = self._unassigned & unassigned, unassigned
        interval_s = _CONFIRM_AFTER_S if unassigned else self._settings.unassigned_check_interval_s
        self.due_s = self._clock() + interval_s
        if confirmed:
            names = [f"{topic}/{number}" for topic, number in sorted(confirmed)]
            log.warning("partitions.unassigned", partitions=names)
            self._rebalance = self._clients.request_rebalance()
            self.due_s = self._clock() + _REBALANCE_TIMEOUT_S

    def _await_rebalance(self, request: RebalanceRequest) -> None:
        if request.completed() or self._clock() >= self.due_s:
            self.close()
            self._unassigned, self.due_s = frozenset(), self._clock() + _CONFIRM_AFTER_S
