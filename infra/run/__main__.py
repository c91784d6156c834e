"""Entry of a worker's process: `python -m infra.run STEP SLOT`, or `spare` (`infra.run.prewarmed`)."""

from __future__ import annotations

import sys

if sys.argv[1:2] != ["tracker"]:
    # structlog draws tracebacks for a terminal with rich where it is there. A worker's log is JSON, and rich takes a
    # fifth of the worker's start: here it isn't there. (Faust has uses of its own for it.)
    sys.modules["rich"] = None  # type: ignore[assignment]

from infra.run.worker import main

main()
