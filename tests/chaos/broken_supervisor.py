"""A supervisor whose workers have a defect: `python -m tests.chaos.broken_supervisor DEFECT WORKERS STEP …`.

It is the real one, but that it starts `tests.chaos.broken_worker` in place of `infra.run`.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

from infra.run import supervise, supervisor

#: The module that a supervisor starts as a worker.
WORKER = "infra.run"


def main() -> int:
    """As `infra.run.supervise`."""
    _, defect, *rest = sys.argv
    sys.argv = [sys.argv[0], "", *rest]
    supervisor.subprocess = _Starting(defect)  # type: ignore[assignment,attr-defined]
    return supervise.main()


class _Starting:
    """The module `subprocess`, as a supervisor uses it, with another worker."""

    def __init__(self, defect: str) -> None:
        self._defect = defect

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    @functools.wraps(subprocess.Popen)
    def Popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: N802
        place = command.index(WORKER)
        changed = [*command[:place], "tests.chaos.broken_worker", self._defect, *command[place + 1 :]]
        return subprocess.Popen(changed, **options)


if __name__ == "__main__":
    sys.exit(main())
