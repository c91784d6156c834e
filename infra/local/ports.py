"""Free ports on 127.0.0.1, and who holds one that isn't."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable

import psutil

from infra.local.errors import PortTakenError

HOST = "127.0.0.1"
#: Below the range of outgoing connections' ports: what is free today is most likely free at the next start.
PORTS = range(20_000, 30_000)
ATTEMPTS_MAX = 200
RELEASE_TIMEOUT_S = 2.0
POLL_S = 0.02


def is_free(port: int) -> bool:
    """Whether we could listen on `port` now."""
    with socket.socket() as probe:
        # As servers do: a connection of yesterday's server that still lingers is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def becomes_free(port: int, timeout_s: float = RELEASE_TIMEOUT_S) -> bool:
    """Whether we could listen on `port` now or very soon: a killed server's sockets outlive it by a moment."""
    deadline = time.monotonic() + timeout_s
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def choose(count: int, avoid: Iterable[int] = ()) -> list[int]:
    """`count` different free ports, none of `avoid`. PortTakenError: too few are free."""
    taken = set(avoid)
    chosen: list[int] = []
    for _ in range(ATTEMPTS_MAX):
        port = random.choice(PORTS)  # noqa: S311 - a port is no secret
        if port not in taken and is_free(port):
            taken.add(port)
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise PortTakenError(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


def holder(port: int) -> str:
    """Who listens on `port`, as far as the system tells us."""
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
