"""The checker is tested: each fault that somebody might write into the pipeline is found."""

from __future__ import annotations

import pytest

from tests.simulation.history import history_of, run
from tests.simulation.seeded import SEEDED, seeded
from tests.simulation.test_history import CITIES

#: The rarest shows in one of about two hundred histories.
HISTORIES_MAX = 600


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SEEDED)
def test_a_fault_in_the_code_is_found(name: str) -> None:
    """Within a bounded number of histories, by at least one check; that the code breaks down proves nothing."""
    with seeded(name):
        histories = (run(history_of(seed, CITIES)) for seed in range(HISTORIES_MAX))
        assert any(told.findings and not told.failed for told in histories)
