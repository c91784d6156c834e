"""Whatever faults are injected, nothing is lost, duplicated, torn or out of order; and the checks would notice."""

from __future__ import annotations

import pytest

from tests.simulation.cities import NOTICES_MIN
from tests.simulation.failing_steps import PLANS, draw_failure_plan
from tests.simulation.faults import KINDS, draw_faults
from tests.simulation.history import FAULTS_MIN, expected_outcome, history_of, run
from tests.simulation.seeded import SEEDED, seeded
from tests.simulation.shrink import shrink

#: Few cities, because generating one takes time.
CITIES = 2
HISTORIES = 8
#: The rarest seeded fault shows in one of about two hundred histories.
SEEDED_HISTORIES_MAX = 600


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_history_with_faults_ends_like_one_without(seed: int) -> None:
    """Run at least 50 notices and five faults with three workers per step: nothing is wrong in the end."""
    result = run(history_of(seed, CITIES))
    assert result.findings == [], f"python -m tests.simulation.cli replay {seed} --cities {CITIES}"
    assert result.notices >= NOTICES_MIN
    assert len(result.injected) >= FAULTS_MIN


@pytest.mark.parametrize("kind", PLANS)
def test_retried_dead_letters_leave_no_trace(kind: str) -> None:
    """Run histories in which this step has dead letters and blocked records while faults are injected."""
    seeds = [seed for seed in range(200) if (plan := draw_failure_plan(seed)) and plan.kind == kind][:2]
    results = [run(history_of(seed, CITIES)) for seed in seeds]
    assert [result.findings for result in results] == [[], []]
    assert sum(result.dead_letters_retried for result in results) > 0


def test_a_seed_repeats_its_history() -> None:
    """The same seed gives the same faults at the same moments and the same end."""
    first, second = run(history_of(3, CITIES)), run(history_of(3, CITIES))
    assert first == second
    assert first.log


def test_a_failing_history_is_shrunk() -> None:
    """The shrunk history still fails, with fewer faults, and its log says when each was injected."""
    with seeded("no seek after an abort"):
        histories = (run(history_of(seed, CITIES)) for seed in range(50))
        before = next(result for result in histories if result.findings)
        shrunk = shrink(before.seed, CITIES, attempts_max=5)
    result = shrunk.result
    assert result.findings
    assert 0 < len(result.injected) < len(before.injected)
    assert all(any(str(fault) in line for line in result.log) for fault in result.injected)


def test_a_history_that_passes_cannot_be_shrunk() -> None:
    """Raise ValueError."""
    with pytest.raises(ValueError, match="no finding"):
        shrink(0, CITIES)


def test_every_kind_of_fault_is_drawn_for_every_call() -> None:
    """No entry of the table of faults is left out."""
    drawn = {(fault.kind, fault.call) for seed in range(2_000) for fault in draw_faults(seed, 14)}
    assert drawn == {(kind, call) for kind, calls in KINDS.items() for call in calls}


@pytest.mark.parametrize("name", SEEDED)
def test_a_fault_replaces_what_exists(name: str) -> None:
    """After a rename a fault would leave the code correct, and nothing would be found."""
    with seeded(name):
        pass


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SEEDED)
def test_a_seeded_fault_is_found(name: str) -> None:
    """A check fails within a bounded number of histories; a crash of the code proves nothing."""
    for city in range(CITIES):
        expected_outcome(city)  # Kept for the histories: a fault of a rule would be in the expectation too.
    with seeded(name):
        histories = (run(history_of(seed, CITIES)) for seed in range(SEEDED_HISTORIES_MAX))
        assert any(result.findings and not result.crashed for result in histories)
