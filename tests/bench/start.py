"""How soon a worker works: its imports, and its first committed batch after its process was started."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench import intake, workers
from tests.bench.cluster import running
from tests.bench.figures import Figure, at_most
from tests.bench.side import ROOT
from tests.bench.sizes import Say, Sizes

GOAL: Final = at_most(2)
#: Waiting for each worker that is started.
NOTICES: Final = 100
#: What a worker's process loads before anything else, as `infra.run.__main__` does, and its step.
IMPORTS: Final = """
import sys
sys.modules["rich"] = None
import infra.run.worker, streams.worker, infra.run.topology
import processors.household, processors.fan_out, processors.intake, processors.conversion
"""


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Each step's worker is started with notices before it, and ended when it has worked them off."""
    imports_s = statistics.median(_python_s(IMPORTS) - _python_s("pass") for _ in range(sizes.rounds))
    say(f"start: imports {imports_s:.2f} s")
    took: dict[str, list[float]] = {step: [] for step in workers.STEPS}
    with running(folder) as place:
        for number in range(sizes.rounds):
            place.log.feed(intake.hand_overs(place, NOTICES, number * NOTICES))
            for step, found in took.items():
                found.append(workers.first_batch_s(place, step))
            told = ", ".join(f"{step} {found[-1]:.2f}" for step, found in took.items())
            say(f"  round {number + 1} of {sizes.rounds}: first committed batch after {told} s")
    return [
        Figure("start: imports of a worker", imports_s, None, "s", at_most(0.5)),
        *(
            Figure(
                f"start: {step}, process to first committed batch", statistics.median(found), None, "s", GOAL
            )
            for step, found in took.items()
        ),
    ]


def _python_s(program: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    return time.perf_counter() - begun
