"""A TCP proxy that can cut, silence or slow what goes through it: the network between workers and servers.

It runs as a process of its own (`python -m tests.chaos.proxy`), so that the harness's work delays nobody; `Proxies`
starts it and tells it what to do.
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
#: Chunks on their way in one direction of a connection; who sends more has to wait.
CHUNKS_MAX: Final = 64
#: So often it is looked up whose connections are new.
LOOK_EVERY_S: Final = 0.2
DONE: Final = "done"

#: open: all passes. cut: connections are reset, and new ones too. silent: nothing passes and nothing is closed, as
#: where a cable is pulled; what was sent arrives when it is open again. slow: all passes, later.
Mode = Literal["open", "cut", "silent", "slow"]


_Queue = asyncio.Queue[tuple[float, bytes]]


@dataclass(eq=False)
class _Link:
    """One connection; `struck` says whether what its route is told is meant for it."""

    #: The ports that it comes from and goes to; the first alone may be another's too, that goes elsewhere.
    ports: tuple[int, int]
    writers: list[asyncio.StreamWriter]
    struck: bool = False
    passing: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """Ends it as a broken network does: by a reset, not by a polite end."""
        for writer in self.writers:
            _reset(writer)


@dataclass
class _Way:
    """One route as it is now; with `only`, for connections of these processes, and open for all others."""

    target: int = 0
    mode: Mode = "open"
    delay_s: float = 0.0
    only: Sequence[int] = ()
    links: set[_Link] = field(default_factory=set)
    #: When it was last looked up, of which processes, and their ports.
    look: tuple[float, Sequence[int], Set[tuple[int, int]]] = (0.0, (), frozenset())

    def set(self, mode: Mode, delay_s: float, only: Sequence[int]) -> None:
        """From now on."""
        self.mode, self.delay_s, self.only = mode, delay_s, only
        theirs = _ports_of(only)
        for link in self.links:
            self._tell(link, theirs)

    def _tell(self, link: _Link, theirs: Set[tuple[int, int]]) -> None:
        link.struck = not self.only or link.ports in theirs
        if self.mode == "silent" and link.struck:
            link.passing.clear()
        else:
            link.passing.set()
        if self.mode == "cut" and link.struck:
            link.reset()

    async def _judged(self, link: _Link) -> None:
        """As told; whose it is is looked up together with all that come in this moment: who is cut off comes often."""
        only: Sequence[int] | None = None
        while only is not self.only:
            only = self.only
            if only:
                await asyncio.sleep(LOOK_EVERY_S - asyncio.get_running_loop().time() % LOOK_EVERY_S + 0.001)
            self._tell(link, self._looked(only))

    def _looked(self, only: Sequence[int]) -> Set[tuple[int, int]]:
        now = asyncio.get_running_loop().time() // LOOK_EVERY_S
        if self.look[:2] != (now, only):
            self.look = now, only, _ports_of(only)
        return self.look[2]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        _, start = writer.get_extra_info("peername")
        _, end = writer.get_extra_info("sockname")
        link = _Link((start, end), [writer])
        self.links.add(link)
        try:
            await self._judged(link)
            if writer.is_closing():
                return
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
            link.writers.append(far_writer)
            await self._pass(link, (reader, far_writer), (far_reader, writer))
        except OSError:
            link.reset()
        finally:
            self.links.discard(link)
            for each in link.writers:
                each.close()

    async def _pass(self, link: _Link, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Both ways, until one of them ends: none of our protocols closes half."""
        queues = [_Queue(CHUNKS_MAX) for _ in ways]
        giving = [self._give(link, queue, writer) for queue, (_, writer) in zip(queues, ways, strict=True)]
        taking = [self._take(link, reader, queue) for queue, (reader, _) in zip(queues, ways, strict=True)]
        tasks = [asyncio.create_task(each) for each in (*giving, *taking)]
        try:
            await asyncio.wait(tasks[: len(giving)], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _take(self, link: _Link, reader: asyncio.StreamReader, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"."
        while chunk:
            try:
                chunk = await reader.read(CHUNK_BYTES)
            except OSError:
                chunk = b""
            late_s = self.delay_s if self.mode == "slow" and link.struck else 0.0
            await queue.put((loop.time() + late_s, chunk))

    async def _give(self, link: _Link, queue: _Queue, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await link.passing.wait()
            if not chunk:
                return
            try:
                writer.write(chunk)
                await writer.drain()
            except OSError:
                return


def _ports_of(pids: Iterable[int]) -> Set[tuple[int, int]]:
    """From and to which ports these processes have connected, as Linux has it in /proc; psutil takes too long."""
    held = {inode for pid in pids for inode in _sockets(pid)}
    if not held:
        return set()
    # Number, from, to, state, queues, timer, retransmissions, user, timeout, inode.
    lines = (line.split(None, 10) for line in Path("/proc/net/tcp").read_bytes().splitlines()[1:])
    return {(_port(line[1]), _port(line[2])) for line in lines if line[9] in held}


def _port(address: bytes) -> int:
    return int(address.partition(b":")[2], 16)


def _sockets(pid: int) -> Iterator[bytes]:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                to = str(entry.readlink())
                if to.startswith("socket:["):
                    yield to[8:-1].encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        return
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


async def _obey(names: Sequence[str]) -> None:
    """Serves until standard input ends; each line of it is a command, answered by a line. Says its ports first."""
    ways = {name: _Way() for name in names}
    servers = [await asyncio.start_server(way.serve, HOST, 0) for way in ways.values()]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(orjson.dumps(dict(zip(ways, ports, strict=True))).decode(), flush=True)  # noqa: T201 - the answer
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = orjson.loads(line)
        way = ways[told["route"]]
        way.target = told.get("target", way.target)
        way.set(told["mode"], told["delay_s"], told["only"])
        print(DONE, flush=True)  # noqa: T201
    # Whoever told it what to do is gone; what is still under way is nobody's.
    os._exit(0)


class Proxies:
    """The proxy's process, from `with` to its end. Each route has a port of its own from the first moment on."""

    def __init__(self, *names: str) -> None:
        self._names = names
        #: By route, where to connect on this host.
        self.ports: dict[str, int] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.chaos.proxy", *self._names]
        # Its own group: Ctrl-C at the terminal is for the harness to act on.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, process_group=0
        )
        self.ports = orjson.loads(self._answer())
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
        """The routes."""
        return list(self._names)

    def lead(self, name: str, target: int) -> None:
        """Route `name` leads to that port of this host; until then it leads nowhere."""
        self._tell({"route": name, "mode": "open", "delay_s": 0.0, "only": [], "target": target})

    def set(self, name: str, mode: Mode, delay_s: float = 0.0, only: Sequence[int] = ()) -> None:
        """From the return of this call on, route `name` is as told; `delay_s` is for `slow`, each way.

        With `only` for connections from these processes (by pid), also for those that they make later.
        """
        self._tell({"route": name, "mode": mode, "delay_s": delay_s, "only": list(only)})

    def open_all(self) -> None:
        """Everything passes again."""
        for name in self._names:
            self.set(name, "open")

    def _tell(self, told: Mapping[str, object]) -> None:
        if told["route"] not in self._names or self._process is None or self._process.stdin is None:
            raise KeyError(f"no route {told['route']!r} runs")
        with self._lock:
            self._process.stdin.write(orjson.dumps(told) + b"\n")
            self._process.stdin.flush()
            if self._answer() != DONE.encode():
                raise RuntimeError("the proxy did not do as told")

    def _answer(self) -> bytes:
        process = self._process
        return process.stdout.readline().strip() if process and process.stdout else b""


if __name__ == "__main__":
    asyncio.run(_obey(sys.argv[1:]))
