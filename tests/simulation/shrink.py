"""Search for fewer faults by which a history still fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.faults import Fault
from tests.simulation.history import CITIES, HistoryResult, history_of, run


@dataclass(frozen=True)
class ShrunkHistory:
    """The result of the history with the remaining faults, and the number of attempts."""

    result: HistoryResult
    attempts: int


def shrink(seed: int, cities: int = CITIES, attempts_max: int = 200) -> ShrunkHistory:
    """Leave out ever smaller parts of the faults while the history fails. Raise ValueError if it doesn't fail."""
    history = history_of(seed, cities)
    result = run(history)
    if not result.findings:
        raise ValueError(f"history {seed} has no finding")
    attempts = 0

    def fails(faults: Sequence[Fault]) -> bool:
        nonlocal result, attempts
        attempts += 1
        attempt = run(history, faults)
        if attempt.findings:
            result = attempt
        return bool(attempt.findings)

    _leave_out_parts(result.injected, fails, lambda: attempts < attempts_max)
    return ShrunkHistory(result, attempts)


def _leave_out_parts(
    faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], may_continue: Callable[[], bool]
) -> None:
    needed, size = list(faults), max(1, len(faults) // 2)
    while may_continue() and needed:
        for start in range(0, len(needed), size):
            fewer = needed[:start] + needed[start + size :]
            if may_continue() and fails(fewer):
                needed = fewer
                break
        else:
            if size == 1:
                return
            size = max(1, size // 2)
