"""A TCP proxy that can cut, silence or slow connections: the network between workers and servers.

It runs as a process of its own (`python -m tests.chaos.proxy`), so that the harness's work delays no connection;
`Proxies` starts and controls it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import orjson

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parents[2]
STOP_TIMEOUT_S: Final = 5.0
CHUNK_BYTES: Final = 65_536
#: Chunks in transit in one direction of a connection; a sender of more has to wait.
CHUNKS_MAX: Final = 64
#: Interval at which the processes of new connections are looked up.
LOOKUP_INTERVAL_S: Final = 0.2
DONE: Final = "done"
#: SO_LINGER: on, with zero seconds: closing sends a reset.
RESET_ON_CLOSE: Final = b"\x01\x00\x00\x00\x00\x00\x00\x00"

#: open: data passes. cut: connections are reset, new ones too. silent: no data passes and no connection is closed, like
#: a pulled cable; data sent meanwhile arrives when the route is open again. slow: data passes with a delay.
Mode = Literal["open", "cut", "silent", "slow"]
#: Client port and proxy port of a connection.
Ports = tuple[int, int]

#: Chunks in one direction of a connection, each with the loop time at which it is due.
_Queue = asyncio.Queue[tuple[float, bytes]]


@dataclass(eq=False)
class _Connection:
    """One connection; `affected` says whether the mode of its route applies to it."""

    #: Both ports identify the connection: the same client port may be used for connections to other ports.
    ports: Ports
    writers: list[asyncio.StreamWriter]
    affected: bool = False
    passing: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """End both sides like a broken network: by a reset, not by an orderly close."""
        for writer in self.writers:
            _reset(writer)


@dataclass
class _Route:
    """A route with its current mode; `pids` limits the mode to connections of these processes, if not empty."""

    target: int = 0
    mode: Mode = "open"
    delay_s: float = 0.0
    pids: Sequence[int] = ()
    connections: set[_Connection] = field(default_factory=set)
    #: The last lookup: its interval, the processes, and the ports of their connections.
    lookup: tuple[float, Sequence[int], Set[Ports]] = (0.0, (), frozenset())

    def set_mode(self, mode: Mode, delay_s: float, pids: Sequence[int]) -> None:
        """Apply a mode to present and future connections."""
        self.mode, self.delay_s, self.pids = mode, delay_s, pids
        ports = _ports_of(pids)
        for connection in self.connections:
            self._apply(connection, ports)

    def _apply(self, connection: _Connection, ports: Set[Ports]) -> None:
        connection.affected = not self.pids or connection.ports in ports
        if self.mode == "silent" and connection.affected:
            connection.passing.clear()
        else:
            connection.passing.set()
        if self.mode == "cut" and connection.affected:
            connection.reset()

    async def _apply_to_new(self, connection: _Connection) -> None:
        """Apply the mode to a new connection.

        Its process is looked up together with those of all connections of this interval, because a client that is cut
        off reconnects often and a lookup is slow.
        """
        pids: Sequence[int] | None = None
        while pids is not self.pids:
            pids = self.pids
            if pids:
                now = asyncio.get_running_loop().time()
                await asyncio.sleep(LOOKUP_INTERVAL_S - now % LOOKUP_INTERVAL_S + 0.001)
            self._apply(connection, self._look_up(pids))

    def _look_up(self, pids: Sequence[int]) -> Set[Ports]:
        interval = asyncio.get_running_loop().time() // LOOKUP_INTERVAL_S
        if self.lookup[:2] != (interval, pids):
            self.lookup = interval, pids, _ports_of(pids)
        return self.lookup[2]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        _, client_port = writer.get_extra_info("peername")
        _, proxy_port = writer.get_extra_info("sockname")
        connection = _Connection((client_port, proxy_port), [writer])
        self.connections.add(connection)
        try:
            await self._apply_to_new(connection)
            if writer.is_closing():
                return
            server_reader, server_writer = await asyncio.open_connection(HOST, self.target)
            connection.writers.append(server_writer)
            await self._relay(connection, (reader, server_writer), (server_reader, writer))
        except OSError:
            connection.reset()
        finally:
            self.connections.discard(connection)
            for open_writer in connection.writers:
                open_writer.close()

    async def _relay(
        self, connection: _Connection, *directions: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        """Relay both directions until one ends: none of the protocols used here closes only one direction."""
        queues = [_Queue(CHUNKS_MAX) for _ in directions]
        sending = [
            self._send(connection, queue, writer)
            for queue, (_, writer) in zip(queues, directions, strict=True)
        ]
        receiving = [
            self._receive(connection, reader, queue)
            for queue, (reader, _) in zip(queues, directions, strict=True)
        ]
        tasks = [asyncio.create_task(coroutine) for coroutine in (*sending, *receiving)]
        try:
            await asyncio.wait(tasks[: len(sending)], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _receive(self, connection: _Connection, reader: asyncio.StreamReader, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"."
        while chunk:
            try:
                chunk = await reader.read(CHUNK_BYTES)
            except OSError:
                chunk = b""
            delay_s = self.delay_s if self.mode == "slow" and connection.affected else 0.0
            await queue.put((loop.time() + delay_s, chunk))

    async def _send(self, connection: _Connection, queue: _Queue, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await connection.passing.wait()
            if not chunk:
                return
            try:
                writer.write(chunk)
                await writer.drain()
            except OSError:
                return


def _ports_of(pids: Iterable[int]) -> Set[Ports]:
    """Return the local and remote ports of these processes' connections, from /proc; psutil takes too long."""
    inodes = {inode for pid in pids for inode in _socket_inodes(pid)}
    if not inodes:
        return set()
    # Number, local, remote, state, queues, timer, retransmissions, user, timeout, inode.
    lines = (line.split(None, 10) for line in Path("/proc/net/tcp").read_bytes().splitlines()[1:])
    return {(_port(line[1]), _port(line[2])) for line in lines if line[9] in inodes}


def _port(address: bytes) -> int:
    return int(address.partition(b":")[2], 16)


def _socket_inodes(pid: int) -> Iterator[bytes]:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                link = str(entry.readlink())
                if link.startswith("socket:["):
                    yield link[8:-1].encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        return
    connected_socket = writer.get_extra_info("socket")
    if connected_socket is not None:
        connected_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


async def _serve(names: Sequence[str]) -> None:
    """Print the ports of the routes, then execute a command per line of standard input until it ends.

    Each command is answered by a line.
    """
    routes = {name: _Route() for name in names}
    servers = [await asyncio.start_server(route.serve, HOST, 0) for route in routes.values()]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(orjson.dumps(dict(zip(routes, ports, strict=True))).decode(), flush=True)  # noqa: T201 - the answer
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = orjson.loads(line)
        route = routes[command["route"]]
        route.target = command.get("target", route.target)
        route.set_mode(command["mode"], command["delay_s"], command["pids"])
        print(DONE, flush=True)  # noqa: T201 - the answer
    # The harness has ended, so open connections don't matter any more.
    os._exit(0)


class Proxies:
    """The proxy's process, as a context manager. Each route has a port of its own from the start."""

    def __init__(self, *names: str) -> None:
        self._names = names
        #: By route, the port on this host at which it accepts connections.
        self.ports: dict[str, int] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.chaos.proxy", *self._names]
        # A process group of its own: only the harness may receive Ctrl-C from the terminal.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, process_group=0
        )
        self.ports = orjson.loads(self._read_answer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    @property
    def names(self) -> list[str]:
        """Names of the routes."""
        return list(self._names)

    def set_target(self, name: str, port: int) -> None:
        """Connect route `name` to a port of this host, and open it; a new route has no target."""
        self._execute({"route": name, "mode": "open", "delay_s": 0.0, "pids": [], "target": port})

    def set_mode(self, name: str, mode: Mode, delay_s: float = 0.0, pids: Sequence[int] = ()) -> None:
        """Set the mode of route `name`; it is in force when this call returns.

        `delay_s` is for mode `slow`, in each direction. With `pids` the mode applies only to present and future
        connections from these processes. Raise KeyError if there is no such route.
        """
        self._execute({"route": name, "mode": mode, "delay_s": delay_s, "pids": list(pids)})

    def open_all(self) -> None:
        """Open every route."""
        for name in self._names:
            self.set_mode(name, "open")

    def _execute(self, command: Mapping[str, object]) -> None:
        if command["route"] not in self._names or self._process is None or self._process.stdin is None:
            raise KeyError(f"no route {command['route']!r}: the proxy has {', '.join(self._names)}")
        with self._lock:
            self._process.stdin.write(orjson.dumps(command) + b"\n")
            self._process.stdin.flush()
            if self._read_answer() != DONE.encode():
                raise RuntimeError(f"the proxy did not execute {command}: see its error output")

    def _read_answer(self) -> bytes:
        process = self._process
        return process.stdout.readline().strip() if process and process.stdout else b""


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
