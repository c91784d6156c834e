"""Start of a worker: its imports, and the time from process start to its first committed batch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench import intake, workers
from tests.bench.cluster import running_cluster
from tests.bench.figures import Figure, at_most
from tests.bench.side import ROOT
from tests.bench.sizes import Progress, Sizes

GOAL: Final = at_most(2)
#: Number of notices that wait for each worker.
NOTICES: Final = 100
#: Imports of a worker's process, in the order of `infra.run.__main__`, and those of its step.
IMPORTS: Final = """
import sys
sys.modules["rich"] = None
import infra.run.worker, streams.worker, infra.run.topology
import processors.household, processors.fan_out, processors.intake, processors.conversion
"""


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Start each step's worker with notices waiting, and stop it when it has processed them."""
    imports_s = statistics.median(_python_s(IMPORTS) - _python_s("pass") for _ in range(sizes.rounds))
    progress(f"start: imports {imports_s:.2f} s")
    start_times: dict[str, list[float]] = {step: [] for step in workers.STEPS}
    with running_cluster(folder) as cluster:
        for number in range(sizes.rounds):
            cluster.topics.produce(intake.submissions(cluster, NOTICES, number * NOTICES))
            for step, seconds in start_times.items():
                seconds.append(workers.first_batch_s(cluster, step))
            latest = ", ".join(f"{step} {seconds[-1]:.2f}" for step, seconds in start_times.items())
            progress(f"  round {number + 1} of {sizes.rounds}: first committed batch after {latest} s")
    return [
        Figure("start: imports of a worker", imports_s, None, "s", at_most(0.5)),
        *(
            Figure(
                f"start: {step}, process to first committed batch",
                statistics.median(seconds),
                None,
                "s",
                GOAL,
            )
            for step, seconds in start_times.items()
        ),
    ]


def _python_s(program: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    return time.perf_counter() - begun
