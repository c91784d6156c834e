"""The process of one slot, `python -m infra.run STEP SLOT`. It ends when its supervisor ends."""

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

from infra.apply.applied_declarations import require_applied
from infra.apply.installation import ApplySettings, Installation
from infra.environment import Environment
from infra.errors import KeyFileError, NoEnvironmentError, NotAppliedError, OperatorError, StackError
from infra.run.logs import configure
from infra.run.prewarmed import PREWARM, load_modules, wait_for_slot
from infra.run.restart_policy import NOT_CONFIGURED
from infra.run.settings import RunSettings
from infra.run.slots import RUN_STEPS, WORKERS_MAX, Slot
from schemas.systems import CLOCK

log = structlog.get_logger()

#: How often a worker checks that its supervisor is running, and how long it may take to end if it is not.
PARENT_EVERY_S = 0.5
ORPHAN_TIMEOUT_S = 20.0
UNAVAILABLE = 10
UNEXPECTED = 1
#: Thresholds of the three generations of garbage collection: the first is more objects than most batches create.
_GC_THRESHOLDS = (500_000, 20, 100)


def heartbeat_file(installation: Installation, slot: Slot) -> Path:
    """Return the path of a worker's heartbeat."""
    return installation.run_folder / f"{slot.name}.json"


def run(slot: Slot) -> int:
    """Run a worker to its end; return a code of `streams.worker.ExitCode`, or NOT_CONFIGURED."""
    try:
        environment, installation = Environment.load(), Installation.of_settings()
        return _run(slot, environment, installation)
    except (NoEnvironmentError, StackError) as error:
        return _ended(UNAVAILABLE, "worker.no-servers", error)
    except NotAppliedError as error:
        # The supervisor tries again until they are: nothing is known yet of what they declare.
        return _ended(UNAVAILABLE, "worker.not-applied", error, reason=_reason(error))
    except (OperatorError, KeyFileError) as error:
        return _ended(NOT_CONFIGURED, "worker.not-applied", error, reason=_reason(error))
    except (ValidationError, KeyError) as error:
        return _ended(NOT_CONFIGURED, "worker.not-applied", error)


def _reason(error: OperatorError | KeyFileError) -> str:
    """Return a text that is for operators. Backticks are not in the alphabet of logs."""
    return str(error).replace("`", "")


def _run(slot: Slot, environment: Environment, installation: Installation) -> int:
    # Each kind of worker imports only what it needs, so that it starts in a fraction of a second.
    if slot.step == "tracker":
        return _tracker(environment, installation)
    if slot.step == CLOCK:
        return _clock(installation)
    require_applied(installation)
    if slot.step.startswith("sink"):
        from infra.run.sinks import run_sinks  # noqa: PLC0415

        return run_sinks(slot, environment, installation, metrics_port(slot))
    from infra.run.topology import build_checked_pipeline  # noqa: PLC0415
    from streams.worker import ShutdownDeadline, Worker  # noqa: PLC0415

    worker = Worker(
        slot.number,
        lambda: build_checked_pipeline(slot.step, slot.number, environment, installation, time.monotonic),
        slot.step,
        heartbeat_file(installation, slot),
        metrics_port(slot),
        shutdown_deadline=ShutdownDeadline(),
    )
    return int(worker.run())


def _tracker(environment: Environment, installation: Installation) -> int:
    from infra.apply.reconcile import TRACKER_TOKEN  # noqa: PLC0415
    from infra.coding import codec  # noqa: PLC0415
    from infra.run.settings import TrackerSettings  # noqa: PLC0415
    from infra.tracker.client import ADDRESS_FILE  # noqa: PLC0415
    from infra.tracker.worker import TrackerSetup, run  # noqa: PLC0415

    token = environment.secrets().password(TRACKER_TOKEN).get_secret_value()
    file = installation.folder / ADDRESS_FILE
    setup = TrackerSetup(
        environment.kafka("tracker"),
        codec(environment, installation),
        ApplySettings().partitions,
        token,
        file,
    )
    run(setup, TrackerSettings())
    return 0


def _clock(installation: Installation) -> int:
    from infra.clock.ticking import run_clock  # noqa: PLC0415

    run_clock(
        installation,
        lambda days: log.info("clock.submitted", records=len(days)),
        lambda error: log.warning("clock.unavailable", error=type(error).__name__),
    )
    return 0


def metrics_port(slot: Slot) -> int | None:
    """Return the port of a slot's metrics: each step has WORKERS_MAX ports, in order. None: no metrics."""
    first = RunSettings().metrics_port
    steps = list(RUN_STEPS)
    index = steps.index(slot.step) if slot.step in steps else len(steps)
    return first + index * WORKERS_MAX + slot.number if first else None


def follow_parent(parent: int) -> None:
    """Send this process SIGTERM when its parent has ended; exit if it still runs ORPHAN_TIMEOUT_S later."""

    def watch() -> None:
        never_set = threading.Event()
        while os.getppid() == parent:
            never_set.wait(PARENT_EVERY_S)
        # The parent may have been the reader of this log; writing to a closed pipe fails.
        with suppress(OSError):
            log.warning("worker.orphaned")
        os.kill(os.getpid(), signal.SIGTERM)
        never_set.wait(ORPHAN_TIMEOUT_S)
        os._exit(UNAVAILABLE)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _ended(code: int, event: str, error: Exception, **more: str) -> int:
    """Log the error's type and code location, not its text, which may contain a setting or data of a record."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    log.error(event, error=type(error).__name__, at=at, **more)
    return code


def collect_rarely() -> None:
    """Make Python's garbage collection rare, and exclude the objects that live as long as the worker.

    A step creates a batch's rows and frees all of them. With the default thresholds, collections during the batch take
    a quarter of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def main() -> None:
    """Run a worker process: the slot of the command line, or for `prewarm` the slot that the supervisor assigns."""
    parent = os.getppid()
    slot = wait_for_slot(load_modules) if sys.argv[1] == PREWARM else Slot(sys.argv[1], int(sys.argv[2]))
    if slot is None:
        return
    configure(slot.step, slot.number)
    # SIGUSR1 logs the stack of each thread, without values, even if a call of a client never returns.
    faulthandler.register(signal.SIGUSR1)
    follow_parent(parent)
    collect_rarely()
    try:
        code = run(slot)
    except Exception as error:  # the supervisor must get an exit code after any error
        code = UNEXPECTED
        with suppress(OSError):
            _ended(code, "worker.failed", error)
    with suppress(OSError):
        sys.stdout.flush()
    # Exit without waiting for threads of clients, so that the supervisor can restart the worker.
    os._exit(code)
