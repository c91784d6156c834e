"""The tracker's process: the Faust app and the HTTP site in one event loop, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

import faust
from aiohttp import web

from infra.local.home import write_json
from infra.run.settings import TrackerSettings
from infra.tracker.app import CaseTable, create_app
from infra.tracker.web import site
from schemas.codec import Codec

#: How long Faust may take to revoke its partitions.
STOP_TIMEOUT_S = 8.0


@dataclass(frozen=True)
class TrackerSetup:
    """The tracker's librdkafka properties, codec, number of partitions of its topics, and HTTP token.

    `address_file` has the address of the HTTP site while the tracker runs.
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
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({crashed, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for future in (crashed, stopped):
        future.cancel()
    await asyncio.wait_for(app.stop(), STOP_TIMEOUT_S)
    if app.crashed:
        raise RuntimeError("the tracker's Faust app crashed; its log has the reason") from app._crash_reason


async def _run(setup: TrackerSetup, settings: TrackerSettings) -> None:
    app, cases = create_app(setup.kafka, setup.codec, settings, setup.partitions)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = await _serve(cases, settings, setup.token, setup.address_file)
    try:
        await _until_stopped(app, stop)
    finally:
        await runner.cleanup()
        setup.address_file.unlink(missing_ok=True)


def run(setup: TrackerSetup, settings: TrackerSettings) -> None:
    """Run the tracker until SIGTERM or SIGINT. Raise RuntimeError where Faust crashed."""
    for logger in ("aiokafka", "faust.transport.producer"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    asyncio.run(_run(setup, settings))
