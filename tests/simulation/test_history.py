"""Whatever goes wrong, nothing is lost, doubled, torn or out of order: a share of the histories."""

from __future__ import annotations

import pytest

from tests.simulation.cities import NOTICES_MIN
from tests.simulation.failing_steps import STEPS, stumble_of
from tests.simulation.faults import KINDS, plan
from tests.simulation.history import FAULTS_MIN, history_of, run
from tests.simulation.seeded import seeded
from tests.simulation.shrink import shrunk

#: Few cities, as each has to be made first.
CITIES = 2
HISTORIES = 8


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_whatever_goes_wrong(seed: int) -> None:
    """A history with at least 50 notices, three workers a step and five faults ends as if nothing had gone wrong."""
    told = run(history_of(seed, CITIES))
    assert told.findings == [], f"python -m tests.simulation.cli replay {seed} --cities {CITIES}"
    assert told.notices >= NOTICES_MIN
    assert len(told.struck) >= FAULTS_MIN


@pytest.mark.parametrize("step", STEPS)
def test_what_a_step_stumbles_over_comes_right_in_the_end(step: str) -> None:
    """Letters and what waits behind them, by histories in which that step sets something aside; faults strike too."""
    seeds = [seed for seed in range(200) if (found := stumble_of(seed)) and found.step == step][:2]
    told = [run(history_of(seed, CITIES)) for seed in seeds]
    assert [each.findings for each in told] == [[], []]
    assert sum(each.letters for each in told) > 0


def test_a_seed_is_replayed() -> None:
    """The same seed is the same history: the same faults at the same moments, the same end."""
    one, other = run(history_of(3, CITIES)), run(history_of(3, CITIES))
    assert one == other
    assert one.log


def test_a_history_that_fails_is_made_smaller() -> None:
    """What is left still fails, by fewer faults, and says what struck when."""
    with seeded("no rewind after abort"):
        seed = next(seed for seed in range(50) if run(history_of(seed, CITIES)).findings)
        before = run(history_of(seed, CITIES))
        smaller = shrunk(seed, CITIES, tries_max=10)
    assert smaller.told.findings
    assert 0 < len(smaller.told.struck) < len(before.struck)
    assert all(any(str(fault) in line for line in smaller.told.log) for fault in smaller.told.struck)


def test_no_history_fails_without_a_reason() -> None:
    """What can't be made to fail isn't made smaller."""
    with pytest.raises(ValueError, match="no finding"):
        shrunk(0, CITIES)


def test_every_fault_is_drawn_for_every_call() -> None:
    """The table of faults has no place that can't be struck."""
    drawn = {(fault.kind, fault.call) for seed in range(2_000) for fault in plan(seed, 14)}
    assert drawn == {(kind, call) for kind, calls in KINDS.items() for call in calls}
