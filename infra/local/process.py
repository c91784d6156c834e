"""Servers as background processes: started in a session of their own, found again, stopped.

A process is ours if its command line says so: a pid file alone is worth nothing, as pids are used again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.local.errors import StartError

STOP_TIMEOUT_S = 20.0
POLL_S = 0.02
EXEC_TIMEOUT_S = 5.0
#: What of a server's log an error shows.
LOG_TAIL_BYTES = 1500

#: Popen objects of servers that live on after us; kept, so that none is collected while its server runs.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class OsUser:
    """The operating system's user that a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Server:
    """One server of a stack. `mark` is an argument of its command line that no other process has."""

    name: str
    cmdline_tag: str
    log: Path
    pid_file: Path
    stop_signal: signal.Signals = signal.SIGTERM
    account: OsUser | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def process(self) -> psutil.Process | None:
        """The running process, or None. A pid used again by another program is seen through."""
        try:
            process = psutil.Process(int(self.pid_file.read_text("ascii")))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return self._search()
        return process if self._is_ours(process) else self._search()

    def start(self, command: Sequence[str], folder: Path) -> None:
        """Start `command` in `folder`, detached from us and the terminal. Does not wait until it is ready."""
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".previous.log"))
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=base_environment() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )
        _started.append(process)
        self.pid_file.parent.mkdir(mode=0o700, exist_ok=True)
        self.pid_file.write_text(str(process.pid), "ascii")
        self._await_command_line(process)

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when `ready` says so. StartError, with the log's end, where the server ends or is too late."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.process() is None:
                raise StartError(f"{self.name} ended while starting; {self._evidence()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} is late ({timeout_s:.0f} s); {self._evidence()}")
            time.sleep(POLL_S)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it in order; by force after `timeout_s`. Nothing happens where it isn't running."""
        process = self.process()
        if process is not None:
            _end(process, self.stop_signal, timeout_s)
        self.pid_file.unlink(missing_ok=True)

    def _evidence(self) -> str:
        return f"{self.log}:\n{self.log_tail()}"

    def log_tail(self) -> str:
        """The end of the log, for an error message."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return "(no log)"

    def _await_command_line(self, process: subprocess.Popen[bytes]) -> None:
        """Return when the system shows the command line: for a moment after exec it is empty, as a dead one's."""
        deadline = time.monotonic() + EXEC_TIMEOUT_S
        while process.poll() is None and self.process() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return self.cmdline_tag in process.cmdline()
        except psutil.Error:
            return False

    def _search(self) -> psutil.Process | None:
        """A server started by somebody who was killed before the pid was written down."""
        for process in psutil.process_iter():
            if self._is_ours(process):
                return process
        return None


def _end(process: psutil.Process, first: signal.Signals, timeout_s: float) -> None:
    for sent in (first, signal.SIGKILL):
        try:
            process.send_signal(sent)
            process.wait(timeout_s)
        except psutil.NoSuchProcess:
            break
        except psutil.TimeoutExpired:
            continue
        else:
            break
    for child in _started:
        child.poll()


def base_environment() -> dict[str, str]:
    """A server's environment: nothing of the caller's, so that no JAVA_TOOL_OPTIONS changes what it does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"}


def run(command: Sequence[str], folder: Path, account: OsUser | None = None, timeout_s: float = 60.0) -> None:
    """Run `command` to its end. StartError, with what it printed, where it fails or takes too long."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=base_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"{name} failed: {error}") from error
    if done.returncode:
        printed = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        raise StartError(f"{name} failed with {done.returncode}:\n{printed[-LOG_TAIL_BYTES:]}")
