"""Free ports, and starting, finding and stopping servers as processes."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from infra.errors import StartError
from infra.local import ports, postgres_server
from infra.local.process import OsUser, Server, run


@pytest.fixture
def sleeper(tmp_path: Path) -> Server:
    """Return a server whose command a test chooses."""
    return Server("the sleeper", f"tag-of-{tmp_path}", tmp_path / "sleeper.log", tmp_path / "run" / "sleeper")


def command(server: Server, program: str) -> list[str]:
    """Return the command line of a Python program with the server's tag."""
    return [sys.executable, "-c", program, server.cmdline_tag]


def test_a_taken_port_is_not_free_and_its_listener_is_named() -> None:
    """The listener is this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        assert f"pid {os.getpid()}" in ports.listener_of(port)
    assert ports.is_free(port)


def test_chosen_ports_differ_and_are_free() -> None:
    """They also differ from the ports to avoid."""
    first = ports.choose_free(5)
    second = ports.choose_free(5, avoid=first)
    assert len({*first, *second}) == 10
    assert all(ports.is_free(port) for port in (*first, *second))


def test_a_server_is_started_found_and_stopped(sleeper: Server, tmp_path: Path) -> None:
    """It runs in a session of its own until it is stopped."""
    sleeper.start(command(sleeper, "import threading; threading.Event().wait(60)"), tmp_path)
    process = sleeper.process()
    assert process is not None
    assert os.getsid(process.pid) == process.pid
    sleeper.stop()
    assert sleeper.process() is None
    assert not process.is_running()


def test_a_server_that_ignores_sigterm_is_killed(sleeper: Server, tmp_path: Path) -> None:
    """It is killed after the timeout."""
    program = "import signal, threading; signal.signal(15, 1); print('deaf', flush=True); threading.Event().wait(60)"
    sleeper.start(command(sleeper, program), tmp_path)
    sleeper.wait_ready(lambda: "deaf" in sleeper.log_tail(), 10)
    sleeper.stop(timeout_s=0.2)
    assert sleeper.process() is None


def test_a_server_that_ends_while_starting_is_an_error(sleeper: Server, tmp_path: Path) -> None:
    """The message contains the end of the log."""
    sleeper.start(command(sleeper, "raise SystemExit('no room')"), tmp_path)
    with pytest.raises(StartError, match="no room"):
        sleeper.wait_ready(lambda: False, 10)


def test_a_server_that_is_never_ready_is_an_error(sleeper: Server, tmp_path: Path) -> None:
    """Waiting for a server has a timeout."""
    sleeper.start(command(sleeper, "import threading; threading.Event().wait(60)"), tmp_path)
    with pytest.raises(StartError, match="not ready after"):
        sleeper.wait_ready(lambda: False, 0.1)
    sleeper.stop()


def test_a_process_without_the_tag_is_never_stopped(sleeper: Server) -> None:
    """A pid file with the pid of this process doesn't get it killed."""
    sleeper.pid_file.parent.mkdir()
    sleeper.pid_file.write_text(str(os.getpid()), "ascii")
    assert sleeper.process() is None
    sleeper.stop()
    os.kill(os.getpid(), 0)


def test_a_server_does_not_inherit_the_environment(
    sleeper: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables such as JAVA_TOOL_OPTIONS and PGDATA would change its behaviour."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dtaken=over")
    sleeper.start(command(sleeper, "import os; print(sorted(os.environ), flush=True)"), tmp_path)
    process = sleeper.process()
    if process is not None:
        process.wait(10)
    assert "PATH" in sleeper.log_tail()
    assert "JAVA" not in sleeper.log_tail()


def test_the_error_of_a_failed_command_has_its_output(tmp_path: Path) -> None:
    """A hung command ends with a timeout."""
    with pytest.raises(StartError, match="disk full"):
        run([sys.executable, "-c", "raise SystemExit('disk full')"], tmp_path)
    with pytest.raises(StartError, match="timed out"):
        run([sys.executable, "-c", "import threading; threading.Event().wait(60)"], tmp_path, timeout_s=0.2)


def test_a_closed_parent_folder_keeps_another_user_out(tmp_path: Path) -> None:
    """The modes of all parents count, except for the current user."""
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    other_user = OsUser(uid=65_533, gid=65_533)
    assert not postgres_server.can_traverse(other_user, closed / "inner")
    assert postgres_server.can_traverse(None, closed / "inner")
    assert postgres_server.can_traverse(other_user, Path("/usr"))
