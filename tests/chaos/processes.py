"""The processes of a run: the real supervisor and the real workers, with the declarations of the run or a defect.

`python -m tests.chaos.processes supervisor DEFECT WORKERS STEP …` is the real supervisor, except that it starts
`python -m tests.chaos.processes worker DEFECT STEP SLOT` instead of `python -m infra.run STEP SLOT`. With a seeded
defect, each worker is wrong in one way; `none` is no defect.
"""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from typing import Any, Final

from infra.run import supervisor, topology, worker

#: The module that a supervisor starts as a worker.
WORKER: Final = "infra.run"
MODULE: Final = "tests.chaos.processes"
#: In place of a defect's name: the workers have none.
NO_DEFECT: Final = "none"
#: Modules that only some workers need: they would make the start of the others slower.
DECLARATIONS: Final = "tests.chaos.declarations"
DEFECTS: Final = "tests.chaos.defects"


def main() -> int:
    """Run a supervisor or a worker, and return its exit code."""
    program, role, defect, *arguments = sys.argv
    if role == "supervisor":
        # The real supervisor expects a tag before its arguments, and ignores it.
        sys.argv = [program, "", *arguments]
        supervisor.subprocess = _SubprocessModule(defect)  # type: ignore[assignment,attr-defined]
        return supervisor.main()
    sys.argv = [program, *arguments]
    _, _, needs = topology._PROCESSORS["fan-out"]
    topology._PROCESSORS["fan-out"] = (DECLARATIONS, "fan_out_processor", needs)
    if defect != NO_DEFECT:
        importlib.import_module(DEFECTS).DEFECTS[defect].install()
    worker.main()
    return 0


class _SubprocessModule:
    """The module `subprocess` as a supervisor uses it, except that workers are those of this module."""

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
