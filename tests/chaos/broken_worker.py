"""A worker with a defect: `python -m tests.chaos.broken_worker DEFECT STEP SLOT`. The real one, wrong in one way."""

from __future__ import annotations

import sys

from infra.run import worker
from tests.chaos.defects import DEFECTS

if __name__ == "__main__":
    defect = sys.argv.pop(1)
    DEFECTS[defect].install()
    worker.main()
