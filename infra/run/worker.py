"""The process of one slot: `python -m infra.run STEP SLOT`. Started by the supervisor, and ends with it."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import ValidationError

from infra.apply.installation import ApplySettings, Installation
from infra.environment import Environment
from infra.errors import KeyFileError, NoEnvironmentError, OperatorError
from infra.local.errors import StackError
from infra.run.logs import configure
from infra.run.prewarmed import SPARE, load_all, told_slot
from infra.run.restart_policy import HOPELESS
from infra.run.settings import RunSettings
from infra.run.slots import RUN_STEPS, WORKERS_MAX, Slot

log = structlog.get_logger()

#: How often a worker looks whether its supervisor is still there, and how long it may then take to end.
PARENT_EVERY_S = 0.5
ORPHAN_TIMEOUT_S = 20.0
UNAVAILABLE = 10
UNEXPECTED = 1
#: New objects that begin a look for garbage, and how many looks begin one at older ones: more than most batches make.
_GARBAGE = (500_000, 20, 100)


def heartbeat_file(installation: Installation, slot: Slot) -> Path:
    """Where a worker says how it is."""
    return installation.run / f"{slot.name}.json"


def run(slot: Slot) -> int:
    """Runs the worker to its end; its exit code (`streams.worker.ExitCode`, or HOPELESS)."""
    try:
        environment, installation = Environment.load(), Installation.of_settings()
        return _run(slot, environment, installation)
    except (NoEnvironmentError, StackError) as error:
        return _ended(UNAVAILABLE, "worker.no-servers", error)
    except (OperatorError, KeyFileError, ValidationError, KeyError) as error:
        return _ended(HOPELESS, "worker.not-applied", error)


def _run(slot: Slot, environment: Environment, installation: Installation) -> int:
    # Each kind of worker loads what it needs, and no more: a start takes a fraction of a second.
    if slot.step == "tracker":
        return _tracker(environment, installation)
    if slot.step.startswith("sink"):
        from infra.run.sinks import run_sinks  # noqa: PLC0415

        return run_sinks(slot, environment, installation, metrics_port(slot))
    from infra.run.topology import pipeline  # noqa: PLC0415
    from streams.worker import ShutdownDeadline, Worker  # noqa: PLC0415

    worker = Worker(
        slot.number,
        lambda: pipeline(slot.step, slot.number, environment, installation, time.monotonic),
        slot.step,
        heartbeat_file(installation, slot),
        metrics_port(slot),
        shutdown_deadline=ShutdownDeadline(),
    )
    return int(worker.run())


def _tracker(environment: Environment, installation: Installation) -> int:
    from infra.apply.reconcile import TRACKER_TOKEN  # noqa: PLC0415
    from infra.codec import codec  # noqa: PLC0415
    from infra.tracker.client import ADDRESS_FILE  # noqa: PLC0415
    from infra.tracker.settings import TrackerSettings  # noqa: PLC0415
    from infra.tracker.worker import Tracked, run  # noqa: PLC0415

    token = environment.secrets().password(TRACKER_TOKEN).get_secret_value()
    file = installation.folder / ADDRESS_FILE
    tracked = Tracked(
        environment.kafka("tracker"),
        codec(environment, installation),
        ApplySettings().partitions,
        token,
        file,
    )
    run(tracked, TrackerSettings())
    return 0


def metrics_port(slot: Slot) -> int | None:
    """The port of a slot's metrics: steps in their order, each with room for all its slots."""
    first = RunSettings().metrics_port
    steps = list(RUN_STEPS)
    place = steps.index(slot.step) if slot.step in steps else len(steps)
    return first + place * WORKERS_MAX + slot.number if first else None


def follow_parent(parent: int) -> None:
    """End this process in order when its parent is gone, by force if that takes too long."""

    def watch() -> None:
        gone = threading.Event()
        while os.getppid() == parent:
            gone.wait(PARENT_EVERY_S)
        # Whoever is gone may have read our log, and nobody does now.
        with suppress(OSError):
            log.warning("worker.orphaned")
        os.kill(os.getpid(), signal.SIGTERM)
        gone.wait(ORPHAN_TIMEOUT_S)
        os._exit(UNAVAILABLE)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _ended(code: int, event: str, error: Exception) -> int:
    """Logs why; an error's text may hold a setting or a record: its type and place must do."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    log.error(event, error=type(error).__name__, at=at)
    return code


def collect_rarely() -> None:
    """Has Python look for garbage seldom, and never among what a worker keeps for good.

    A step makes a batch's rows and lets go of all of them: looking at each generation of them costs it a quarter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def main() -> None:
    """Entry point."""
    parent = os.getppid()
    slot = told_slot(load_all) if sys.argv[1] == SPARE else Slot(sys.argv[1], int(sys.argv[2]))
    if slot is None:
        return
    configure(slot.step, slot.number)
    # Places in the code of all threads, no values; also where a call of a client never comes back.
    faulthandler.register(signal.SIGUSR1)
    follow_parent(parent)
    collect_rarely()
    try:
        code = run(slot)
    except Exception as error:  # whatever it is, the supervisor is told by a code
        code = UNEXPECTED
        with suppress(OSError):
            _ended(code, "worker.failed", error)
    with suppress(OSError):
        sys.stdout.flush()
    # A client's threads must not hold back who starts us again.
    os._exit(code)
