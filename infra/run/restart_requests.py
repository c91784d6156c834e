"""Requests to restart single workers: a file per slot, which a command writes and the supervisor takes.

The command decides about the order (`infra.run.rolling_restart`); the supervisor only ends and starts processes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Final

from infra.apply.installation import Installation
from infra.run.hung_workers import kill_with_stacks
from infra.run.slots import Slot

_SUFFIX: Final = ".restart"

Process = subprocess.Popen[bytes]


def request_restart(installation: Installation, slot: Slot) -> None:
    """Ask the supervisor of this installation to restart a worker, also one that it has given up."""
    (installation.run_folder / f"{slot.name}{_SUFFIX}").touch()


class RestartRequests:
    """The supervisor's side. Requests of an earlier supervisor are dropped. Call `handle` regularly.

    `stop_timeout_s` is how long a worker may take to end after SIGTERM before it is killed.
    """

    def __init__(
        self,
        installation: Installation,
        stop_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._stop_timeout_s, self._clock = installation.run_folder, stop_timeout_s, clock
        #: Processes that were asked to end, and when they are killed.
        self._kill_at_s: dict[Process, float] = {}
        for file in self._folder.glob(f"*{_SUFFIX}"):
            file.unlink(missing_ok=True)

    def handle(self, running: Mapping[Slot, Process]) -> set[str]:
        """Ask requested workers to end, and kill those that didn't in time; `running` are the workers by slot.

        Return the names of requested slots without a process.
        """
        self._kill_late()
        requested = {file.name.removesuffix(_SUFFIX): file for file in self._folder.glob(f"*{_SUFFIX}")}
        for file in requested.values():
            file.unlink(missing_ok=True)
        by_name = {slot.name: process for slot, process in running.items()}
        for name in requested.keys() & by_name.keys():
            by_name[name].terminate()
            self._kill_at_s[by_name[name]] = self._clock() + self._stop_timeout_s
        return requested.keys() - by_name.keys()

    def _kill_late(self) -> None:
        for process, at_s in list(self._kill_at_s.items()):
            if process.poll() is not None:
                del self._kill_at_s[process]
            elif self._clock() > at_s:
                del self._kill_at_s[process]
                kill_with_stacks(process)
