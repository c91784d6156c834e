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
ROUTE = "route"
TIMEOUT_S = 5.0
#: Long compared with a round trip on one machine, short for a test.
DELAY_S = 0.3


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Yield the port of a server that returns whatever it receives."""
    with socket.create_server((HOST, 0)) as server:

        def echo(connection: socket.socket) -> None:
            with connection, suppress(ConnectionError):
                while data := connection.recv(1_000):
                    connection.sendall(data)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=[connection], daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(TIMEOUT_S)


@pytest.fixture
def proxies(echo_port: int) -> Iterator[Proxies]:
    """Yield a proxy with one route, to the echo server."""
    with Proxies(ROUTE) as running:
        running.set_target(ROUTE, echo_port)
        yield running


@pytest.fixture
def port(proxies: Proxies) -> int:
    """Return the port of the route."""
    return proxies.ports[ROUTE]


def connect(port: int) -> closing[socket.socket]:
    """Return a connection through the proxy, as a context manager."""
    connection = socket.create_connection((HOST, port), TIMEOUT_S)
    connection.settimeout(TIMEOUT_S)
    return closing(connection)


def connect_and_send(port: int) -> None:
    """Connect and send until the connection fails."""
    with connect(port) as connection:
        connection.sendall(b"x")
        assert not connection.recv(1_000)
        connection.sendall(b"x" * 1_000_000)


def test_an_open_route_passes_data_in_both_directions(port: int) -> None:
    """Several connections don't interfere."""
    with connect(port) as one, connect(port) as other:
        for connection, data in ((one, b"one"), (other, b"other"), (one, b"again")):
            connection.sendall(data)
            assert connection.recv(1_000) == data


def test_a_cut_resets_present_and_new_connections(proxies: Proxies, port: int) -> None:
    """Clients get a reset, not an orderly close as from a server; after the cut they can connect again."""
    with connect(port) as before:
        before.sendall(b"x")
        assert before.recv(1_000) == b"x"
        proxies.set_mode(ROUTE, "cut")
        with pytest.raises(ConnectionResetError):
            before.recv(1_000)
    with pytest.raises(ConnectionError):
        connect_and_send(port)
    proxies.set_mode(ROUTE, "open")
    with connect(port) as after:
        after.sendall(b"y")
        assert after.recv(1_000) == b"y"


def test_a_silent_route_delays_data_and_loses_none(proxies: Proxies, port: int) -> None:
    """It is like a cable that is pulled and put back: the connection survives, and data arrives late."""
    with connect(port) as connection:
        proxies.set_mode(ROUTE, "silent")
        connection.sendall(b"are you there?")
        connection.settimeout(DELAY_S)
        with pytest.raises(TimeoutError):
            connection.recv(1_000)
        connection.settimeout(TIMEOUT_S)
        proxies.open_all()
        assert connection.recv(1_000) == b"are you there?"


def test_a_slow_route_delays_each_direction_and_keeps_the_order(proxies: Proxies, port: int) -> None:
    """An echo takes twice the delay."""
    proxies.set_mode(ROUTE, "slow", DELAY_S)
    with connect(port) as connection:
        begun = time.monotonic()
        connection.sendall(b"a")
        connection.sendall(b"b")
        received = connection.recv(1_000)
        duration_s = time.monotonic() - begun
        while len(received) < 2:
            received += connection.recv(1_000)
    assert received == b"ab"
    assert duration_s >= 2 * DELAY_S


#: For each line of its input, the seconds to wait for an answer, it sends data and prints what happened.
CLIENT = """
import socket, sys
connection = None
for line in sys.stdin:
    try:
        connection = connection or socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5.0)
        connection.settimeout(float(line))
        connection.sendall(b"x")
        print("answered" if connection.recv(1_000) else "closed", flush=True)
    except TimeoutError:
        print("silence", flush=True)
    except ConnectionError:
        print("reset", flush=True)
        connection = None
"""


@pytest.fixture
def other_client(port: int) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that connects through the proxy, controlled by `exchange`."""
    command = [sys.executable, "-c", CLIENT, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def exchange(client: subprocess.Popen[str], wait_s: float = TIMEOUT_S) -> str:
    """Let a client process send data, and return what happened: answered, closed, silence or reset."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(f"{wait_s}\n")
    client.stdin.flush()
    return client.stdout.readline().strip()


def test_one_process_can_be_cut_off_alone(
    proxies: Proxies, port: int, other_client: subprocess.Popen[str]
) -> None:
    """Its present and its new connections are silent or reset; those of other processes continue."""
    assert exchange(other_client) == "answered"
    with connect(port) as own:
        proxies.set_mode(ROUTE, "silent", pids=[other_client.pid])
        assert exchange(other_client, DELAY_S) == "silence"
        own.sendall(b"y")
        assert own.recv(1_000) == b"y"
        proxies.set_mode(ROUTE, "cut", pids=[other_client.pid])
        assert [exchange(other_client), exchange(other_client)] == ["reset", "reset"]
        own.sendall(b"y")
        assert own.recv(1_000) == b"y"
    with connect(port) as later:
        later.sendall(b"z")
        assert later.recv(1_000) == b"z"
    proxies.open_all()
    assert exchange(other_client) == "answered"


def test_an_unknown_route_is_an_error(proxies: Proxies) -> None:
    """Otherwise a fault without an effect would count as survived."""
    with pytest.raises(KeyError, match="no route"):
        proxies.set_mode("another", "cut")
