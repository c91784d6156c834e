"""Ports and processes: who holds what, and what is ours."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from infra.local import ports, postgres_server
from infra.local.errors import StartError
from infra.local.process import OsUser, Server, run


@pytest.fixture
def sleeper(tmp_path: Path) -> Server:
    """A server that does nothing, for long."""
    return Server(
        "the sleeper", f"mark-of-{tmp_path}", tmp_path / "sleeper.log", tmp_path / "run" / "sleeper"
    )


def command(server: Server, program: str) -> list[str]:
    return [sys.executable, "-c", program, server.cmdline_tag]


def test_a_held_port_is_not_free_and_its_holder_is_named() -> None:
    """This process listens, so it is the one that is named."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert not ports.is_free(port)
        assert f"pid {os.getpid()}" in ports.holder(port)
    assert ports.is_free(port)


def test_chosen_ports_differ_and_are_free() -> None:
    """Also from those to be avoided."""
    first = ports.choose(5)
    second = ports.choose(5, avoid=first)
    assert len({*first, *second}) == 10
    assert all(ports.is_free(port) for port in (*first, *second))


def test_a_server_is_started_found_and_stopped(sleeper: Server, tmp_path: Path) -> None:
    """In a session of its own, and gone in the end."""
    sleeper.start(command(sleeper, "import threading; threading.Event().wait(60)"), tmp_path)
    process = sleeper.process()
    assert process is not None
    assert os.getsid(process.pid) == process.pid
    sleeper.stop()
    assert sleeper.process() is None
    assert not process.is_running()


def test_a_server_that_will_not_end_is_ended(sleeper: Server, tmp_path: Path) -> None:
    """It ignores SIGTERM: after the deadline it is killed."""
    program = "import signal, threading; signal.signal(15, 1); print('deaf', flush=True); threading.Event().wait(60)"
    sleeper.start(command(sleeper, program), tmp_path)
    sleeper.wait_ready(lambda: "deaf" in sleeper.log_tail(), 10)
    sleeper.stop(timeout_s=0.2)
    assert sleeper.process() is None


def test_a_server_that_ends_while_starting_is_an_error_with_its_last_words(
    sleeper: Server, tmp_path: Path
) -> None:
    """The end of the log is in the message."""
    sleeper.start(command(sleeper, "raise SystemExit('no room')"), tmp_path)
    with pytest.raises(StartError, match="no room"):
        sleeper.wait_ready(lambda: False, 10)


def test_a_server_that_is_never_ready_is_an_error(sleeper: Server, tmp_path: Path) -> None:
    """Every wait has a deadline."""
    sleeper.start(command(sleeper, "import threading; threading.Event().wait(60)"), tmp_path)
    with pytest.raises(StartError, match="late"):
        sleeper.wait_ready(lambda: False, 0.1)
    sleeper.stop()


def test_the_pid_of_a_stranger_is_not_ours(sleeper: Server) -> None:
    """A pid file that names this very process gets nobody killed."""
    sleeper.pid_file.parent.mkdir()
    sleeper.pid_file.write_text(str(os.getpid()), "ascii")
    assert sleeper.process() is None
    sleeper.stop()
    os.kill(os.getpid(), 0)


def test_nothing_of_the_caller_reaches_a_server(
    sleeper: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JAVA_TOOL_OPTIONS, PGDATA and the like stay outside."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dtaken=over")
    sleeper.start(command(sleeper, "import os; print(sorted(os.environ), flush=True)"), tmp_path)
    process = sleeper.process()
    if process is not None:
        process.wait(10)
    assert "PATH" in sleeper.log_tail()
    assert "JAVA" not in sleeper.log_tail()


def test_a_command_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    """And one that hangs has a deadline."""
    with pytest.raises(StartError, match="disk full"):
        run([sys.executable, "-c", "raise SystemExit('disk full')"], tmp_path)
    with pytest.raises(StartError, match="timed out"):
        run([sys.executable, "-c", "import threading; threading.Event().wait(60)"], tmp_path, timeout_s=0.2)


def test_a_closed_parent_keeps_another_user_out(tmp_path: Path) -> None:
    """What the modes of all parents say; for ourselves nothing is in the way."""
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    stranger = OsUser(uid=65_533, gid=65_533)
    assert not postgres_server.reaches(stranger, closed / "inner")
    assert postgres_server.reaches(None, closed / "inner")
    assert postgres_server.reaches(stranger, Path("/usr"))
