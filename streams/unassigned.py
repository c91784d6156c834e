"""Looks that a group leaves no partition to nobody, and has it balanced anew where it does.

A static member that dies after a rebalance and before it has given back what others are to have, and is back within
its session, is handed its partitions without a rebalance (KIP-345): what it was to give back belongs to nobody then,
as in a cooperative rebalance (KIP-429) others get that only by the next one. Nothing is lost, and nothing goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from streams.clients import Clients, Clock, Partition, RebalanceRequest
from streams.settings import PipelineSettings

log = structlog.get_logger()

#: Whoever has something to give back does so meanwhile: what is still nobody's then stays so.
_CONFIRM_AFTER_S: Final = 2.0
#: A call for a rebalance that isn't heard for so long is given up, and made again where it is needed.
_REBALANCE_TIMEOUT_S: Final = 15.0


class UnassignedPartitionMonitor:
    """One worker's look at its group, a part of each turn; it waits for nothing."""

    def __init__(
        self, inputs: Sequence[str], clients: Clients, settings: PipelineSettings, clock: Clock
    ) -> None:
        self._inputs, self._clients, self._settings, self._clock = inputs, clients, settings, clock
        self._unassigned: frozenset[Partition] = frozenset()
        self._rebalance: RebalanceRequest | None = None
        #: When there is something to do again, by the clock.
        self.due_s = clock() + _CONFIRM_AFTER_S

    @property
    def rebalance_pending(self) -> bool:
        """Whether a rebalance was called for that has not come yet."""
        return self._rebalance is not None

    def poll(self) -> None:
        """Looks where it is time to."""
        if self._rebalance is not None:
            self._await_rebalance(self._rebalance)
        elif self._clock() >= self.due_s:
            self._check()

    def close(self) -> None:
        """Calls for nothing more."""
        if self._rebalance is not None:
            self._rebalance.close()
            self._rebalance = None

    def _check(self) -> None:
        found = self._clients.unassigned_partitions(self._inputs)
        if found is None:
            return
        again, self._unassigned = self._unassigned & found, found
        self.due_s = self._clock() + (
            _CONFIRM_AFTER_S if found else self._settings.unassigned_check_interval_s
        )
        if again:
            log.warning(
                "partitions.unassigned", partitions=[f"{topic}/{number}" for topic, number in sorted(again)]
            )
            self._rebalance, self.due_s = (
                self._clients.request_rebalance(),
                self._clock() + _REBALANCE_TIMEOUT_S,
            )

    def _await_rebalance(self, call: RebalanceRequest) -> None:
        if call.completed() or self._clock() >= self.due_s:
            self.close()
            self._unassigned, self.due_s = frozenset(), self._clock() + _CONFIRM_AFTER_S
