"""The proxy between workers and servers, with real connections through its real process."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.chaos.proxy import Proxies

HOST = "127.0.0.1"
TIMEOUT_S = 5.0
#: Long against a round trip on one machine, short for a test.
MOMENT_S = 0.3


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything again."""
    with socket.create_server((HOST, 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(ConnectionError):
                while said := connection.recv(1_000):
                    connection.sendall(said)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=[connection], daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(TIMEOUT_S)


@pytest.fixture
def through(echo: int) -> Iterator[tuple[Proxies, int]]:
    """A proxy with one route, `way`, to the server; and its port."""
    with Proxies("way") as proxies:
        proxies.lead("way", echo)
        yield proxies, proxies.ports["way"]


def connected(port: int) -> closing[socket.socket]:
    made = socket.create_connection((HOST, port), TIMEOUT_S)
    made.settimeout(TIMEOUT_S)
    return closing(made)


def talk(port: int) -> None:
    """Connect, say something, and hear nothing but the end."""
    with connected(port) as connection:
        connection.sendall(b"x")
        assert not connection.recv(1_000)
        connection.sendall(b"x" * 1_000_000)


def test_everything_passes_both_ways(through: tuple[Proxies, int]) -> None:
    """Until told otherwise."""
    _, port = through
    with connected(port) as one, connected(port) as other:
        for connection, said in ((one, b"one"), (other, b"other"), (one, b"again")):
            connection.sendall(said)
            assert connection.recv(1_000) == said


def test_a_cut_resets_what_there_is_and_whatever_comes(through: tuple[Proxies, int]) -> None:
    """Not an end as by a server that says goodbye; and all is well again afterwards."""
    proxies, port = through
    with connected(port) as before:
        before.sendall(b"x")
        assert before.recv(1_000) == b"x"
        proxies.set("way", "cut")
        with pytest.raises(ConnectionResetError):
            before.recv(1_000)
    with pytest.raises(ConnectionError):
        talk(port)
    proxies.set("way", "open")
    with connected(port) as after:
        after.sendall(b"y")
        assert after.recv(1_000) == b"y"


def test_silence_holds_back_and_loses_nothing(through: tuple[Proxies, int]) -> None:
    """As where a cable is pulled and put back: the connection lives, what was said arrives late."""
    proxies, port = through
    with connected(port) as connection:
        proxies.set("way", "silent")
        connection.sendall(b"are you there?")
        connection.settimeout(MOMENT_S)
        with pytest.raises(TimeoutError):
            connection.recv(1_000)
        connection.settimeout(TIMEOUT_S)
        proxies.open_all()
        assert connection.recv(1_000) == b"are you there?"


def test_slow_is_late_by_so_much_each_way(through: tuple[Proxies, int]) -> None:
    """And in the order in which it was sent."""
    proxies, port = through
    proxies.set("way", "slow", MOMENT_S)
    with connected(port) as connection:
        begun = time.monotonic()
        connection.sendall(b"a")
        connection.sendall(b"b")
        got = connection.recv(1_000)
        took_s = time.monotonic() - begun
        while len(got) < 2:
            got += connection.recv(1_000)
    assert got == b"ab"
    assert took_s >= 2 * MOMENT_S


ECHOING = """
import socket, sys
connection = None
for line in sys.stdin:
    try:
        connection = connection or socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5.0)
        connection.settimeout(float(line))
        connection.sendall(b"x")
        print("heard" if connection.recv(1_000) else "ended", flush=True)
    except TimeoutError:
        print("nothing", flush=True)
    except ConnectionError:
        print("reset", flush=True)
        connection = None
"""


@pytest.fixture
def another(through: tuple[Proxies, int]) -> Iterator[subprocess.Popen[str]]:
    """A process that says something through the proxy for each line that it is told, the seconds it waits to hear."""
    command = [sys.executable, "-c", ECHOING, str(through[1])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def says(process: subprocess.Popen[str], wait_s: float = TIMEOUT_S) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{wait_s}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_one_process_is_cut_off_and_the_others_go_on(
    through: tuple[Proxies, int], another: subprocess.Popen[str]
) -> None:
    """By what it has open, and by what it opens later; without a word, or by resets."""
    proxies, port = through
    assert says(another) == "heard"
    with connected(port) as ours:
        proxies.set("way", "silent", only=[another.pid])
        assert says(another, MOMENT_S) == "nothing"
        ours.sendall(b"y")
        assert ours.recv(1_000) == b"y"
        proxies.set("way", "cut", only=[another.pid])
        assert [says(another), says(another)] == ["reset", "reset"]
        ours.sendall(b"y")
        assert ours.recv(1_000) == b"y"
    with connected(port) as later:
        later.sendall(b"z")
        assert later.recv(1_000) == b"z"
    proxies.open_all()
    assert says(another) == "heard"


def test_a_route_that_there_is_not_is_an_error(through: tuple[Proxies, int]) -> None:
    """A fault that strikes nothing would be counted as survived."""
    proxies, _ = through
    with pytest.raises(KeyError, match="no route"):
        proxies.set("another", "cut")
