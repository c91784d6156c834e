"""When a worker that ended is started again. Pure: how long it lived is told."""

from __future__ import annotations

from typing import Final

#: A worker that lived as long as this had started well: what ended it is a new matter.
STARTED_WELL_S: Final = 10.0
FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 15.0
#: Ends one after the other, each soon after its start, before it is given up: about two minutes.
ENDS_MAX: Final = 12
#: A worker's exit code for what no new start can mend: a missing key file, a wrong setting.
HOPELESS: Final = 78
#: Codes (`streams.worker.ExitCode`) after which an operator has to look: a broken step, records lost.
FINAL: Final = frozenset({HOPELESS, 13, 15})
#: A server doesn't answer: it may take long, and nothing is wrong with the worker.
_PATIENT: Final = frozenset({10})


class RestartPolicy:
    """One worker's ends, and what follows from each."""

    def __init__(self) -> None:
        self.total = 0
        self._in_a_row = 0

    def after(self, exit_code: int, lived_s: float) -> float | None:
        """Seconds until it is started again; None: it is given up."""
        self._in_a_row = 1 if lived_s >= STARTED_WELL_S else self._in_a_row + 1
        if exit_code in FINAL or (self._in_a_row > ENDS_MAX and exit_code not in _PATIENT):
            return None
        self.total += 1
        if lived_s >= STARTED_WELL_S:
            # Its partitions stand still: there is nothing to wait for.
            return 0.0
        return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._in_a_row - 1, 10))
