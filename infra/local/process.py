"""Servers as background processes: starts them in a session of their own, finds them again, stops them.

A process is identified by a tag in its command line. A pid file alone is not enough, because pids are reused.
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

from infra.errors import StartError

STOP_TIMEOUT_S = 20.0
POLL_S = 0.02
EXEC_TIMEOUT_S = 5.0
#: Length of the end of a server's log in error messages.
LOG_TAIL_BYTES = 1500

#: Popen objects of started servers, referenced so that none is garbage-collected while its server runs.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class OsUser:
    """The user of the operating system that a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Server:
    """One server of a stack. `cmdline_tag` is an argument of its command line that no other process has."""

    name: str
    cmdline_tag: str
    log: Path
    pid_file: Path
    stop_signal: signal.Signals = signal.SIGTERM
    account: OsUser | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def process(self) -> psutil.Process | None:
        """Return the running process, or None. A pid that another program has now is recognised by the missing tag."""
        try:
            process = psutil.Process(int(self.pid_file.read_text("ascii")))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return self._search()
        return process if self._is_ours(process) else self._search()

    def start(self, command: Sequence[str], folder: Path) -> None:
        """Start `command` in `folder`, detached from this process and the terminal; don't wait until it is ready."""
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
        self._wait_for_command_line(process)

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when `ready` returns True. Raise StartError with the log's end if the server ends or times out."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.process() is None:
                raise StartError(f"{self.name} ended while starting; {self._log_excerpt()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} is not ready after {timeout_s:.0f} s; {self._log_excerpt()}")
            time.sleep(POLL_S)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the server if it runs: by its stop signal, and after `timeout_s` by SIGKILL."""
        process = self.process()
        if process is not None:
            _end(process, self.stop_signal, timeout_s)
        self.pid_file.unlink(missing_ok=True)

    def _log_excerpt(self) -> str:
        return f"the end of {self.log}:\n{self.log_tail()}"

    def log_tail(self) -> str:
        """Return the end of the log, for an error message."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return "(no log)"

    def _wait_for_command_line(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the system reports the command line, which is empty for a moment after exec."""
        deadline = time.monotonic() + EXEC_TIMEOUT_S
        while process.poll() is None and self.process() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return self.cmdline_tag in process.cmdline()
        except psutil.Error:
            return False

    def _search(self) -> psutil.Process | None:
        """Search all processes: the starter may have been killed before it wrote the pid file."""
        for process in psutil.process_iter():
            if self._is_ours(process):
                return process
        return None


def _end(process: psutil.Process, stop_signal: signal.Signals, timeout_s: float) -> None:
    for number in (stop_signal, signal.SIGKILL):
        try:
            process.send_signal(number)
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
    """Return a server's environment. It has nothing of the caller's, such as JAVA_TOOL_OPTIONS."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"}


def run(command: Sequence[str], folder: Path, account: OsUser | None = None, timeout_s: float = 60.0) -> None:
    """Run `command` to its end. Raise StartError with its output if it fails, or at the timeout."""
    name = Path(command[0]).name
    try:
        completed = subprocess.run(
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
    if completed.returncode:
        output = (completed.stdout + completed.stderr).decode("utf-8", "replace").strip()
        raise StartError(f"{name} failed with exit code {completed.returncode}:\n{output[-LOG_TAIL_BYTES:]}")
