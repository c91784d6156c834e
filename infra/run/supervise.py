"""The supervisor as a process: `python -m infra.run.supervise MARK WORKERS [STEP …]`. The mark tells it from others."""

from __future__ import annotations

import signal
import sys

import structlog

from infra.apply.installation import Installation
from infra.errors import OperatorError
from infra.run.slots import slots
from infra.run.supervisor import Supervisor


def main() -> int:
    """Entry point; 0 where it was told to stop."""
    log = structlog.get_logger()
    _, _, workers, *steps = sys.argv
    installation = Installation.of_settings()
    supervisor = Supervisor(installation, slots(steps, int(workers)), log.info)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        return 0 if supervisor.run() else 1
    except OperatorError as error:
        log.warning(str(error))
        return error.code


if __name__ == "__main__":
    sys.exit(main())
