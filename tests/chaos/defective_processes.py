"""Processes with a seeded defect: the real supervisor and the real workers, each wrong in one way.

`python -m tests.chaos.defective_processes supervisor DEFECT WORKERS STEP …` is the real supervisor, except that it
starts `python -m tests.chaos.defective_processes worker DEFECT STEP SLOT` instead of `python -m infra.run STEP SLOT`.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any, Final

from infra.run import supervisor, worker
from tests.chaos.defects import DEFECTS

#: The module that a supervisor starts as a worker.
WORKER: Final = "infra.run"
MODULE: Final = "tests.chaos.defective_processes"


def main() -> int:
    """Run a supervisor or a worker, and return its exit code."""
    program, role, defect, *arguments = sys.argv
    if role == "supervisor":
        # The real supervisor expects a tag before its arguments, and ignores it.
        sys.argv = [program, "", *arguments]
        supervisor.subprocess = _SubprocessModule(defect)  # type: ignore[assignment,attr-defined]
        return supervisor.main()
    sys.argv = [program, *arguments]
    DEFECTS[defect].install()
    worker.main()
    return 0


class _SubprocessModule:
    """The module `subprocess` as a supervisor uses it, except that workers have a defect."""

    def __init__(self, defect: str) -> None:
        self._defect = defect

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    @functools.wraps(subprocess.Popen)
    def Popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: N802
        index = command.index(WORKER)
        defective = [*command[:index], MODULE, "worker", self._defect, *command[index + 1 :]]
        return subprocess.Popen(defective, **options)


if __name__ == "__main__":
    sys.exit(main())
