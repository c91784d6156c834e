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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

import orjson

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parents[2]
STOP_TIMEOUT_S: Final = 5.0
CHUNK_BYTES: Final = 65_536
#: Chunks on their way in one direction of a connection; who sends more has to wait.
CHUNKS_MAX: Final = 64

#: open: all passes. cut: connections are reset, and new ones too. silent: nothing passes and nothing is closed, as
#: where a cable is pulled; what was sent arrives when it is open again. slow: all passes, later.
Mode = Literal["open", "cut", "silent", "slow"]


class Route(NamedTuple):
    """Who connects to `port` reaches `target`; both on this host."""

    port: int
    target: int


_Queue = asyncio.Queue[tuple[float, bytes]]


@dataclass
class _Way:
    """One route as it is now."""

    route: Route
    mode: Mode = "open"
    delay_s: float = 0.0
    passing: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def set(self, mode: Mode, delay_s: float) -> None:
        """From now on."""
        self.mode, self.delay_s = mode, delay_s if mode == "slow" else 0.0
        if mode == "silent":
            self.passing.clear()
        else:
            self.passing.set()
        if mode == "cut":
            for writer in self.writers:
                _reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        if self.mode == "cut":
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.route.target)
        except OSError:
            _reset(writer)
            return
        both = {writer, far_writer}
        self.writers |= both
        there: _Queue = asyncio.Queue(CHUNKS_MAX)
        back: _Queue = asyncio.Queue(CHUNKS_MAX)
        giving = [asyncio.create_task(self._give(*way)) for way in ((there, far_writer), (back, writer))]
        taking = [asyncio.create_task(self._take(*way)) for way in ((reader, there), (far_reader, back))]
        try:
            # An end in one direction is an end of both: none of our protocols closes half.
            await asyncio.wait(giving, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.writers -= both
            for task in (*giving, *taking):
                task.cancel()
            for each in both:
                each.close()

    async def _take(self, reader: asyncio.StreamReader, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"."
        while chunk:
            try:
                chunk = await reader.read(CHUNK_BYTES)
            except OSError:
                chunk = b""
            await queue.put((loop.time() + self.delay_s, chunk))

    async def _give(self, queue: _Queue, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self.passing.wait()
            if not chunk:
                return
            try:
                writer.write(chunk)
                await writer.drain()
            except OSError:
                return


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection as a broken network does: by a reset, not by a polite end."""
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


async def _obey(routes: Mapping[str, Route]) -> None:
    """Serves until standard input ends; each line of it is a command, answered by a line."""
    ways = {name: _Way(Route(*route)) for name, route in routes.items()}
    servers = []
    for way in ways.values():
        way.passing.set()
        servers.append(await asyncio.start_server(way.serve, HOST, way.route.port))
    print("ready", flush=True)  # noqa: T201 - the answer
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = orjson.loads(line)
        ways[told["route"]].set(told["mode"], told["delay_s"])
        print("done", flush=True)  # noqa: T201
    # Whoever told it what to do is gone; what is still under way is nobody's.
    os._exit(0)


class Proxies:
    """The proxy's process, from `with` to its end."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = dict(routes)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        routes = {name: list(route) for name, route in self._routes.items()}
        command = [sys.executable, "-m", "tests.chaos.proxy", orjson.dumps(routes).decode()]
        # Its own group: Ctrl-C at the terminal is for the harness to act on.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, process_group=0
        )
        self._answered(b"ready")
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
        return list(self._routes)

    def set(self, name: str, mode: Mode, delay_s: float = 0.0) -> None:
        """From the return of this call on, route `name` is as told; `delay_s` is for `slow`, each way."""
        if name not in self._routes or self._process is None or self._process.stdin is None:
            raise KeyError(f"no route {name!r} runs")
        with self._lock:
            told = {"route": name, "mode": mode, "delay_s": delay_s}
            self._process.stdin.write(orjson.dumps(told) + b"\n")
            self._process.stdin.flush()
            self._answered(b"done")

    def open_all(self) -> None:
        """Everything passes again."""
        for name in self._routes:
            self.set(name, "open")

    def _answered(self, wanted: bytes) -> None:
        process = self._process
        answer = process.stdout.readline().strip() if process and process.stdout else b""
        if answer != wanted:
            raise RuntimeError(f"the proxy said {answer!r}, not {wanted!r}")


if __name__ == "__main__":
    asyncio.run(_obey(orjson.loads(sys.argv[1])))
