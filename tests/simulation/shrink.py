"""Makes a history that fails smaller, while it fails: fewer faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.faults import Fault
from tests.simulation.history import CITIES, HistoryResult, history_of, run


@dataclass(frozen=True)
class Smaller:
    """The faults that are needed, and how the history then goes; after so many tries."""

    told: HistoryResult
    tries: int


def shrunk(seed: int, cities: int = CITIES, tries_max: int = 200) -> Smaller:
    """As few faults as a search that leaves away ever smaller parts comes to. ValueError where nothing fails."""
    history = history_of(seed, cities)
    told = run(history)
    if not told.findings:
        raise ValueError(f"history {seed} has no finding")
    tries = 0

    def fails(faults: Sequence[Fault]) -> bool:
        nonlocal told, tries
        tries += 1
        tried = run(history, faults)
        if tried.findings:
            told = tried
        return bool(tried.findings)

    _without_parts(told.struck, fails, lambda: tries < tries_max)
    return Smaller(told, tries)


def _without_parts(
    faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], going_on: Callable[[], bool]
) -> None:
    kept, size = list(faults), max(1, len(faults) // 2)
    while going_on() and kept:
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            if going_on() and fails(fewer):
                kept = fewer
                break
        else:
            if size == 1:
                return
            size = max(1, size // 2)
