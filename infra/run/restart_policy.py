"""When to restart a worker that has ended. Pure: exit code and lifetime are arguments."""

from __future__ import annotations

from typing import Final

#: A worker that lived this long had started successfully: its end counts as the first in a row.
STABLE_AFTER_S: Final = 10.0
FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 15.0
#: Early ends in a row before a worker is given up; with the delays this is about two minutes.
EARLY_ENDS_MAX: Final = 12
#: Exit code for what no restart can fix: the key file or a setting is missing or wrong.
NOT_CONFIGURED: Final = 78
#: Codes after which an operator must act: also BROKEN_STEP (13) and LOST_RECORDS (15) of `streams.worker.ExitCode`.
NOT_RESTARTED: Final = frozenset({NOT_CONFIGURED, 13, 15})
#: UNAVAILABLE: a server doesn't answer. That may take long, and the worker itself is not at fault.
_RESTARTED_ALWAYS: Final = frozenset({10})


class RestartPolicy:
    """The decision after each end of one worker. `total` counts its restarts."""

    def __init__(self) -> None:
        self.total = 0
        self._early_ends = 0

    def delay_after(self, exit_code: int, lived_s: float) -> float | None:
        """Return the seconds to wait before the restart, or None if the worker is given up."""
        self._early_ends = 1 if lived_s >= STABLE_AFTER_S else self._early_ends + 1
        if exit_code in NOT_RESTARTED or (
            self._early_ends > EARLY_ENDS_MAX and exit_code not in _RESTARTED_ALWAYS
        ):
            return None
        self.total += 1
        if lived_s >= STABLE_AFTER_S:
            # No delay, because the worker's partitions are stalled.
            return 0.0
        return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._early_ends - 1, 10))

    def begin_again(self) -> None:
        """Count a restart that an operator has requested for a worker that was given up."""
        self.total += 1
        self._early_ends = 0
