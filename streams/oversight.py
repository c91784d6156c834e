"""Looks that a group leaves no partition to nobody, and has it balanced anew where it does.

A static member that dies after a rebalance and before it has given back what others are to have, and is back within
its session, is handed its partitions without a rebalance (KIP-345): what it was to give back belongs to nobody then,
as in a cooperative rebalance (KIP-429) others get that only by the next one. Nothing is lost, and nothing goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from streams.clients import Clients, Clock, Partition, Rebalancer
from streams.settings import PipelineSettings

log = structlog.get_logger()

#: Whoever has something to give back does so meanwhile: what is still nobody's then stays so.
_SECOND_LOOK_S: Final = 2.0
#: A call for a rebalance that isn't heard for so long is given up, and made again where it is needed.
_CALL_S: Final = 15.0


class Oversight:
    """One worker's look at its group, a part of each turn; it waits for nothing."""

    def __init__(
        self, inputs: Sequence[str], clients: Clients, settings: PipelineSettings, clock: Clock
    ) -> None:
        self._inputs, self._clients, self._settings, self._clock = inputs, clients, settings, clock
        self._unread: frozenset[Partition] = frozenset()
        self._call: Rebalancer | None = None
        #: When there is something to do again, by the clock.
        self.due_s = clock() + _SECOND_LOOK_S

    @property
    def calling(self) -> bool:
        """Whether a rebalance was called for that has not come yet."""
        return self._call is not None

    def turn(self) -> None:
        """Looks where it is time to."""
        if self._call is not None:
            self._follow(self._call)
        elif self._clock() >= self.due_s:
            self._look()

    def close(self) -> None:
        """Calls for nothing more."""
        if self._call is not None:
            self._call.close()
            self._call = None

    def _look(self) -> None:
        found = self._clients.unread(self._inputs)
        if found is None:
            return
        again, self._unread = self._unread & found, found
        self.due_s = self._clock() + (_SECOND_LOOK_S if found else self._settings.oversight_interval_s)
        if again:
            log.warning(
                "partitions.unread", partitions=[f"{topic}/{number}" for topic, number in sorted(again)]
            )
            self._call, self.due_s = self._clients.rebalancer(), self._clock() + _CALL_S

    def _follow(self, call: Rebalancer) -> None:
        if call.heard() or self._clock() >= self.due_s:
            self.close()
            self._unread, self.due_s = frozenset(), self._clock() + _SECOND_LOOK_S
