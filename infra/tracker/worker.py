"""Runs the tracker: Faust's app and the HTTP site in one event loop, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

import faust
from aiohttp import web

from infra.local.home import write_json
from infra.tracker.app import CaseTable, tracker
from infra.tracker.settings import TrackerSettings
from infra.tracker.web import site
from schemas.codec import Codec

#: How long Faust may take to give its partitions back.
STOP_TIMEOUT_S = 8.0


@dataclass(frozen=True)
class Tracked:
    """What it is given: its user's librdkafka properties, the codec, partitions of its topics, the HTTP token.

    `address_file` tells where the site listens, while it does.
    """

    kafka: dict[str, str]
    codec: Codec
    partitions: int
    token: str
    address_file: Path


async def _serve(
    cases: CaseTable, settings: TrackerSettings, token: str, address_file: Path
) -> web.AppRunner:
    runner = web.AppRunner(site(cases, settings, token), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    host, port = runner.addresses[0][:2]
    write_json(address_file, {"url": f"http://{host}:{port}"})
    return runner


async def _until_stopped(app: faust.App, stop: asyncio.Event) -> None:
    await app.start()
    crashed = asyncio.ensure_future(app.wait_until_stopped())
    told = asyncio.ensure_future(stop.wait())
    await asyncio.wait({crashed, told}, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (crashed, told):
        waiting.cancel()
    await asyncio.wait_for(app.stop(), STOP_TIMEOUT_S)
    if app.crashed:
        raise RuntimeError("the tracker's Faust app crashed; its log says why") from app._crash_reason


async def _run(tracked: Tracked, settings: TrackerSettings) -> None:
    app, cases = tracker(tracked.kafka, tracked.codec, settings, tracked.partitions)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = await _serve(cases, settings, tracked.token, tracked.address_file)
    try:
        await _until_stopped(app, stop)
    finally:
        await runner.cleanup()
        tracked.address_file.unlink(missing_ok=True)


def run(tracked: Tracked, settings: TrackerSettings) -> None:
    """Runs until SIGTERM or SIGINT; RuntimeError where Faust crashed."""
    for noisy in ("aiokafka", "faust.transport.producer"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    asyncio.run(_run(tracked, settings))
