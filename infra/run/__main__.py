"""Entry point of a worker process: `python -m infra.run STEP SLOT`, or `prewarm` (`infra.run.prewarmed`)."""

from __future__ import annotations

import sys

if sys.argv[1:2] != ["tracker"]:
    # structlog formats tracebacks for terminals with rich if it is installed. A worker's log is JSON, and importing
    # rich takes a fifth of a worker's start, so hide it. (The tracker's Faust needs rich.)
    sys.modules["rich"] = None  # type: ignore[assignment]

from infra.run.worker import main

main()
