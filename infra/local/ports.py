"""Free ports on 127.0.0.1, and the programs that listen on taken ones."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable

import psutil

from infra.errors import PortTakenError

HOST = "127.0.0.1"
#: Below the ports of outgoing connections, so a free port is most likely free at the next start too.
PORTS = range(20_000, 30_000)
ATTEMPTS_MAX = 200
RELEASE_TIMEOUT_S = 2.0
POLL_S = 0.02


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` now."""
    with socket.socket() as probe:
        # Servers set this option too: lingering connections of an earlier server don't block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def becomes_free(port: int, timeout_s: float = RELEASE_TIMEOUT_S) -> bool:
    """Return whether `port` becomes free within `timeout_s`; a killed server's sockets linger briefly."""
    deadline = time.monotonic() + timeout_s
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def choose_free(count: int, avoid: Iterable[int] = ()) -> list[int]:
    """Return `count` different free ports, none of `avoid`. Raise PortTakenError where too few are free."""
    taken = set(avoid)
    chosen: list[int] = []
    for _ in range(ATTEMPTS_MAX):
        port = random.choice(PORTS)  # noqa: S311 - a port is no secret
        if port not in taken and is_free(port):
            taken.add(port)
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise PortTakenError(
        f"there are no {count} free ports between {PORTS.start} and {PORTS.stop}; end other programs"
    )


def listener_of(port: int) -> str:
    """Return the name and pid of the program that listens on `port`, if the system reports them."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another program"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            return _name(connection.pid)
    return "another program"


def _name(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
